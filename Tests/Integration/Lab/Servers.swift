import Foundation

/// A real authoritative server (nsd from Debian) that answers for its zones on the given addresses of a host.
struct NameServer {
    let service: Running

    /// - Parameters:
    ///   - zones: zone file text by origin, such as `example`.
    ///   - settings: further lines of nsd's `server:` section.
    static func start(
        on host: Host, name: String, addresses: [String], port: Int = 53, zones: [String: String],
        settings: String = ""
    ) async throws -> NameServer {
        let lab = host.lab
        let folder = lab.path("nsd-\(name)")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var configuration = """
            server:
              server-count: 1
              username: ""
              zonesdir: "\(folder)"
              pidfile: "\(folder)/pid"
              xfrdfile: "\(folder)/xfrd"
              xfrdir: "\(folder)"
              zonelistfile: "\(folder)/zonelist"
              database: ""
              logfile: "\(folder)/log"
              tcp-count: 400
              port: \(port)
              rrl-ratelimit: 0
            \(settings)
            \(addresses.map { "  ip-address: \($0)" }.joined(separator: "\n"))
            remote-control:
              control-enable: no

            """
        for (origin, text) in zones {
            let file = "\(folder)/\(origin == "." ? "root" : origin).zone"
            try text.write(toFile: file, atomically: false, encoding: .utf8)
            configuration += "zone:\n  name: \"\(origin)\"\n  zonefile: \"\(file)\"\n"
        }
        try lab.write(configuration, to: "nsd-\(name)/nsd.conf")
        let service = try await host.start(["nsd", "-d", "-c", "\(folder)/nsd.conf"], log: "nsd-\(name)")
        let up = try await eventually(within: 10) {
            guard service.status == nil else { return true }
            let origin = zones.keys.first ?? "."
            let reply = try await Probe.ask(host, server: addresses[0], port: port, origin, "SOA", timeout: 200)
            return reply.rcode == "NOERROR"
        }
        guard up, service.status == nil else {
            let log = (try? String(contentsOfFile: "\(folder)/log", encoding: .utf8)) ?? ""
            throw LabError("nsd on \(addresses) does not answer: \(service.errors)\(log)")
        }
        return NameServer(service: service)
    }
}

/// Everything that crosses a link, as tcpdump sees it.
struct PacketCapture {
    let service: Running
    let path: String

    static func start(on host: Host, link: String, filter: String = "") async throws -> PacketCapture {
        let path = host.lab.path("\(host.name)-\(link).pcap")
        let service = try await host.start(
            ["tcpdump", "-i", link, "-n", "-U", "--immediate-mode", "-s", "0", "-B", "16384", "-Z", "root", "-w", path]
                + (filter.isEmpty ? [] : [filter]), log: "tcpdump-\(link)")
        try await service.waitFor("listening on", within: 10)
        return PacketCapture(service: service, path: path)
    }

    /// Whether any packet so far carries this qname in wire form, in either letter case.
    func holds(name: String) -> Bool { PacketCapture.find(name: name, in: bytes()) }

    /// Wait until a packet with this qname has been seen.
    func waits(for name: String, within seconds: Double = 3) async -> Bool {
        await eventually(within: seconds, every: 5) { holds(name: name) }
    }

    func bytes() -> Data { (try? Data(contentsOf: URL(fileURLWithPath: path))) ?? Data() }

    /// How often this qname occurs in the packets so far; an answer repeats the name of its query once.
    func count(name: String) -> Int {
        let lower = PacketCapture.lowercase(bytes())
        let wire = PacketCapture.wire(name)
        var count = 0
        var from = lower.startIndex
        while let range = lower.range(of: wire, in: from..<lower.endIndex) {
            count += 1
            from = range.upperBound
        }
        return count
    }

    static func find(name: String, in bytes: Data) -> Bool {
        lowercase(bytes).range(of: wire(name)) != nil
    }

    /// The name in wire form, lower case.
    private static func wire(_ name: String) -> Data {
        var wire = Data()
        for label in name.split(separator: ".") {
            wire.append(UInt8(label.utf8.count))
            wire.append(contentsOf: label.lowercased().utf8)
        }
        wire.append(0)
        return wire
    }

    private static func lowercase(_ bytes: Data) -> Data {
        Data(bytes.map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 })
    }
}
