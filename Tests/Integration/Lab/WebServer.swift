import Foundation

/// A real web server (nginx from Debian) over HTTP and TLS, on the given addresses of a host.
struct WebServer {
    let service: Running
    /// Its access log: `$scheme $host $uri $status` a line.
    let log: String

    /// Answers at ports 80, 8080 and 443: `/` tells its own address and the name it was asked for, `/big` has 20,000,000
    /// bytes, `/slow` the same at 100,000 bytes a second.
    static func start(on host: Host, addresses: [String]) async throws -> WebServer {
        let lab = host.lab
        let folder = lab.path("nginx")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try await must([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "2", "-subj", "/CN=test.example", "-keyout", "\(folder)/key.pem", "-out", "\(folder)/certificate.pem",
        ])
        var bytes = [UInt8](repeating: 0, count: 20_000_000)
        for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: index &* 31 ^ index >> 8) }
        try Data(bytes).write(to: URL(fileURLWithPath: "\(folder)/big"))
        let listen = addresses.flatMap { address in
            let text = address.contains(":") ? "[\(address)]" : address
            return ["listen \(text):80;", "listen \(text):8080;", "listen \(text):443 ssl;"]
        }
        try lab.write(
            """
            daemon off;
            user root;
            worker_processes 1;
            pid \(folder)/pid;
            error_log \(folder)/error;
            events { worker_connections 4096; }
            http {
                log_format short "$scheme $host $uri $status";
                access_log \(folder)/access short;
                default_type text/plain;
                \(["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "\($0)_temp_path \(folder)/\($0);" }.joined())
                ssl_certificate \(folder)/certificate.pem;
                ssl_certificate_key \(folder)/key.pem;
                server {
                    \(listen.joined(separator: "\n        "))
                    location = / { return 200 "$server_addr $scheme $host\\n"; }
                    location = /big { alias \(folder)/big; }
                    location = /slow { alias \(folder)/big; limit_rate 100000; }
                }
            }

            """, to: "nginx/nginx.conf")
        let service = try await host.start(
            ["nginx", "-e", "\(folder)/error", "-c", "\(folder)/nginx.conf"], log: "nginx")
        let up = try await eventually(within: 10) {
            guard service.status == nil else { return true }
            return try await host.run(["curl", "-sS", "--max-time", "1", "http://\(addresses[0])/"]).isFine
        }
        guard up, service.status == nil else {
            let log = (try? String(contentsOfFile: "\(folder)/error", encoding: .utf8)) ?? ""
            throw LabError("nginx on \(addresses) does not answer: \(service.errors)\(log)")
        }
        return WebServer(service: service, log: "\(folder)/access")
    }

    /// The lines of its log so far.
    var requests: [String] {
        ((try? String(contentsOfFile: log, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
    }
}
