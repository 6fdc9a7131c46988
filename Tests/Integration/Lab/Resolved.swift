import Foundation

/// Debian's systemd-resolved, unpacked and never installed, running inside a host of the lab without D-Bus.
struct Resolved {
    let service: Running

    /// Start it with the given upstream servers. Its stub listens on 127.0.0.53, and on `extra` as well.
    static func start(on host: Host, name: String, servers: [String], stub: Bool, extra: [String] = []) async throws
        -> Resolved
    {
        let lab = host.lab
        let folder = try await unpacked.value
        let configuration = """
            [Resolve]
            DNS=\(servers.joined(separator: " "))
            FallbackDNS=
            Domains=~.
            LLMNR=no
            MulticastDNS=no
            DNSSEC=no
            DNSOverTLS=no
            Cache=no
            ReadEtcHosts=no
            DNSStubListener=\(stub ? "yes" : "no")
            \(extra.map { "DNSStubListenerExtra=\($0)" }.joined(separator: "\n"))

            """
        let conf = try lab.write(configuration, to: "resolved-\(name).conf")
        // It insists on its own user, on its configuration file and on its folder under /run; all three exist only in
        // the mount namespace of this process. Its user is systemd-resolve, found by name.
        let passwd = try lab.write(
            "root:x:0:0::/root:/bin/sh\nsystemd-resolve:x:996:996::/:/usr/sbin/nologin\n", to: "passwd")
        let group = try lab.write("root:x:0:\nsystemd-resolve:x:996:\n", to: "group")
        let script = """
            set -e
            mount --make-rprivate /
            exec 3>&1
            mkdir -p /run/systemd
            mount -t tmpfs tmpfs /run
            mkdir -p /run/systemd/resolve
            chown 996:996 /run/systemd/resolve
            mount --bind "\(passwd)" /etc/passwd
            mount --bind "\(group)" /etc/group
            [ -e /etc/systemd/resolved.conf ] || { mkdir -p "\(lab.path("etc-systemd"))"; \
            touch "\(lab.path("etc-systemd"))/resolved.conf"; mount --bind "\(lab.path("etc-systemd"))" /etc/systemd; }
            mount --bind "\(conf)" /etc/systemd/resolved.conf
            export LD_LIBRARY_PATH="\(folder)/usr/lib/x86_64-linux-gnu/systemd:\(folder)/lib/x86_64-linux-gnu"
            export SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=info
            exec "\(folder)/lib/systemd/systemd-resolved"
            """
        let service = try await host.start(
            ["unshare", "-m", "sh", "-c", script], log: "resolved-\(name)")
        let address = stub ? "127.0.0.53" : extra[0]
        let up = try await eventually(within: 10) {
            guard service.status == nil else { return true }
            // A name of its own that it answers without asking anybody.
            return try await Probe.ask(host, server: address, "localhost", timeout: 300).answer == ["127.0.0.1"]
        }
        guard up, service.status == nil else {
            throw LabError("systemd-resolved does not answer on \(address): \(service.output)\(service.errors)")
        }
        return Resolved(service: service)
    }

    /// Debian's package, downloaded once into .build and unpacked.
    private static let unpacked = Task { () async throws -> String in
        let folder = Paths.root + "/.build/lab/systemd-resolved"
        if FileManager.default.fileExists(atPath: folder) { return folder }
        let partial = "\(folder).\(getpid())"
        try FileManager.default.createDirectory(atPath: partial, withIntermediateDirectories: true)
        let fetch = "cd \"$0\" && apt-get -q download systemd-resolved libsystemd-shared"
        if try await run(["sh", "-c", fetch, partial]).status != 0 {
            try await must(["apt-get", "-q", "update"], seconds: 180)
            try await must(["sh", "-c", fetch, partial])
        }
        try await must(["sh", "-c", "cd \"$0\" && for p in *.deb; do dpkg -x \"$p\" .; rm \"$p\"; done", partial])
        guard rename(partial, folder) == 0 || FileManager.default.fileExists(atPath: folder) else {
            throw LabError("rename \(partial): \(errno)")
        }
        return folder
    }
}
