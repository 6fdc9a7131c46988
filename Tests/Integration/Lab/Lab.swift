import Foundation
import Synchronization

/// A few hosts on one machine: network namespaces joined by veth links.
///
/// Every namespace, file and process of a lab carries the test process's id, and all of it is gone when the lab closes,
/// however the test ended. What a killed test process left is swept by the next lab.
final class Lab: Sendable {
    /// Unique among all labs of this machine, at most 12 characters.
    let id: String
    /// Folder for configurations, logs and captures.
    let folder: String

    private static let count = Atomic<Int>(0)
    private let state = Mutex<State>(State())

    private struct State {
        var hosts: [Host] = []
        var services: [Running] = []
    }

    private init(id: String, folder: String) {
        self.id = id
        self.folder = folder
    }

    /// Make a lab, do `body` in it, and take it away.
    static func with<Value>(_ body: (Lab) async throws -> Value) async throws -> Value {
        guard getuid() == 0 else { throw LabError("the lab makes network namespaces: run the tests as root") }
        await sweep()
        let id = "wt\(getpid())x\(count.wrappingAdd(1, ordering: .relaxed).newValue)"
        let folder = "/tmp/webtun-lab-\(id)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let lab = Lab(id: id, folder: folder)
        do {
            let value = try await body(lab)
            await lab.close()
            return value
        } catch {
            await lab.close()
            throw error
        }
    }

    /// Add a host: a namespace with `lo` up, forwarding off, IPv6 without duplicate address detection.
    func host(_ name: String) async throws -> Host {
        let host = Host(lab: self, name: name, namespace: "\(id)-\(name)")
        try await must(["ip", "netns", "add", host.namespace])
        state.withLock { $0.hosts.append(host) }
        try await host.sysctl([
            "net.ipv6.conf.all.accept_dad": "0", "net.ipv6.conf.default.accept_dad": "0",
            "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0",
        ])
        try await host.ip("link set lo up")
        return host
    }

    /// Join two hosts with a veth pair; both ends are up.
    func link(_ first: Host, _ firstLink: String, _ second: Host, _ secondLink: String) async throws {
        try await must([
            "ip", "link", "add", firstLink, "netns", first.namespace, "type", "veth", "peer", "name", secondLink,
            "netns",
            second.namespace,
        ])
        try await first.ip("link set \(firstLink) up")
        try await second.ip("link set \(secondLink) up")
    }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    /// Write a file into the lab's folder and return its path.
    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: path(name), atomically: false, encoding: .utf8)
        return path(name)
    }

    func keep(_ service: Running) { state.withLock { $0.services.append(service) } }

    private func close() async {
        let (services, hosts) = state.withLock { ($0.services, $0.hosts) }
        for service in services.reversed() { service.signal(SIGTERM) }
        for service in services.reversed() { await service.stop() }
        for host in hosts { await Lab.remove(namespace: host.namespace) }
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// End what still runs in a namespace and delete it. The name is a lab's, so the processes are too.
    private static func remove(namespace: String) async {
        if let pids = try? await run(["ip", "netns", "pids", namespace]) {
            for pid in pids.lines.compactMap({ pid_t($0) }) { kill(pid, SIGKILL) }
        }
        _ = try? await run(["ip", "netns", "delete", namespace])
        try? FileManager.default.removeItem(atPath: "/etc/netns/\(namespace)")
    }

    /// Remove labs whose test process no longer lives.
    private static func sweep() async {
        func isDead(_ name: Substring) -> Bool {
            guard name.hasPrefix("wt"), let pid = pid_t(name.dropFirst(2).prefix { $0.isNumber }) else { return false }
            return pid > 0 && kill(pid, 0) != 0 && errno == ESRCH
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        for name in names where name.contains("x") && isDead(name[...]) { await remove(namespace: name) }
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/tmp")) ?? []
        where name.hasPrefix("webtun-lab-") && isDead(name.dropFirst(11)) {
            try? FileManager.default.removeItem(atPath: "/tmp/\(name)")
        }
    }
}

/// A host of a lab: a network namespace.
struct Host: Sendable {
    let lab: Lab
    let name: String
    let namespace: String

    /// The command line that runs `arguments` on this host.
    func command(_ arguments: [String]) -> [String] { ["ip", "netns", "exec", namespace] + arguments }

    func run(_ arguments: [String], input: String = "", environment: [String: String] = [:], seconds: Double = 60)
        async throws -> Output
    {
        try await Integration.run(command(arguments), input: input, environment: environment, seconds: seconds)
    }

    @discardableResult
    func must(_ arguments: [String], input: String = "", seconds: Double = 60) async throws -> Output {
        try await Integration.must(command(arguments), input: input, seconds: seconds)
    }

    /// Start a service that the lab ends; `log` is the name of its output files.
    func start(_ arguments: [String], log: String, environment: [String: String] = [:]) async throws -> Running {
        let service = try await Running.start(
            command(arguments), log: lab.path("\(name)-\(log)"), environment: environment)
        lab.keep(service)
        return service
    }

    /// Several `ip` commands, a line each, without the word `ip`.
    func ip(_ commands: String) async throws {
        let text = commands.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        try await Integration.must(
            ["ip", "-n", namespace, "-batch", "-"], input: text.joined(separator: "\n") + "\n")
    }

    func sysctl(_ values: [String: String]) async throws {
        try await must(["sysctl", "-qw"] + values.map { "\($0)=\($1)" }.sorted())
    }

    func nft(_ rules: String) async throws { try await must(["nft", "-f", "-"], input: rules) }

    /// What programs of this host find at /etc/resolv.conf.
    func resolvConf(_ text: String) throws { try etc("resolv.conf", text) }

    /// What programs of this host find in a file of /etc that this machine has too.
    func etc(_ name: String, _ text: String) throws {
        let folder = "/etc/netns/\(namespace)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try text.write(toFile: "\(folder)/\(name)", atomically: false, encoding: .utf8)
    }
}
