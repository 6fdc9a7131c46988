import Foundation
import Glibc
import Kernel
import Testing
import Wire

@testable import DNSProxy

/// The exchange and the admission against real servers, each on a loopback address of a namespace, with one zone.
@Suite struct UpstreamPeerTests {
    enum Peer: String, CaseIterable {
        case unbound, nsd, knotd
    }

    private static let zone = """
        $ORIGIN example.
        @ 3600 IN SOA ns.example. root.example. 1 3600 600 86400 300
        @ 3600 IN NS ns.example.
        ns 3600 IN A 127.0.0.2
        www 200 IN A 192.0.2.1
        www 200 IN AAAA 2001:db8::1
        alias 500 IN CNAME www.example.
        large 60 IN TXT \((0..<60).map { "\"" + String(repeating: "x", count: 99) + String($0 % 10) + "\"" }.joined(separator: " "))

        """

    @Test(arguments: Peer.allCases)
    func resolves(peer: Peer) throws {
        try inNamespace {
            let server = try PeerServer(peer, zone: Self.zone)
            defer { server.stop() }
            let client = try PeerClient(server.address)
            try client.waitUntilReady()

            let address = try client.ask("WWW.example", .a)
            #expect(address.facts.ttl == 200)
            #expect(address.facts.addresses[0] == IPAddress("192.0.2.1")!)
            #expect(!address.isStream)

            let alias = try client.ask("alias.example", .aaaa)
            #expect(alias.facts.chain == [Name("www.example")!])
            #expect(alias.facts.addresses[0] == IPAddress("2001:db8::1")!)
            #expect(alias.facts.ttl == 200)

            let absent = try client.ask("absent.example", .a)
            #expect(absent.facts.rcode == 3)
            #expect(absent.facts.ttl == 300)
            let noData = try client.ask("www.example", RecordType("MX")!)
            #expect(noData.facts.rcode == 0)
            #expect(noData.facts.isNegative && noData.facts.ttl == 300)

            let large = try client.ask("large.example", RecordType("TXT")!)
            #expect(large.isStream, "6,000 bytes do not fit 1,232")
            #expect(large.facts.byteCount > 6000)
            #expect(large.facts.ttl == 60)

            #expect(client.exchange.counters.rejected == 0, "the server keeps the case")
            #expect(client.exchange.counters.timeouts == 0)
        }
    }
}

/// A server from Debian, started in the calling thread's namespace and ended by its process ID.
private final class PeerServer {
    let address = SocketAddress(IPAddress("127.0.0.2")!, port: 53)
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-\(UUID().uuidString)")
    private var pid: pid_t = 0

    init(_ peer: UpstreamPeerTests.Peer, zone: String) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(zone.utf8).write(to: folder.appendingPathComponent("example.zone"))
        let path = folder.path
        let (text, arguments): (String, [String])
        switch peer {
        case .unbound:
            text = """
                server:
                  interface: 127.0.0.2
                  do-daemonize: no
                  username: ""
                  chroot: ""
                  pidfile: ""
                  use-syslog: no
                  directory: "\(path)"
                  num-threads: 1
                  module-config: "iterator"
                auth-zone:
                  name: "example."
                  zonefile: "\(path)/example.zone"
                  for-downstream: yes
                  for-upstream: yes
                remote-control:
                  control-enable: no

                """
            arguments = ["/usr/sbin/unbound", "-d", "-c", path + "/conf"]
        case .nsd:
            text = """
                server:
                  ip-address: 127.0.0.2
                  username: ""
                  chroot: ""
                  pidfile: ""
                  zonesdir: "\(path)"
                  database: ""
                  zonelistfile: "\(path)/zone.list"
                  xfrdfile: ""
                  xfrdir: "\(path)"
                  logfile: "\(path)/log"
                  server-count: 1
                remote-control:
                  control-enable: no
                zone:
                  name: "example."
                  zonefile: "example.zone"

                """
            arguments = ["/usr/sbin/nsd", "-d", "-c", path + "/conf"]
        case .knotd:
            text = """
                server:
                  rundir: "\(path)"
                  listen: 127.0.0.2@53
                  udp-workers: 1
                  tcp-workers: 1
                  background-workers: 1
                database:
                  storage: "\(path)"
                log:
                  - target: "\(path)/log"
                    any: warning
                zone:
                  - domain: example.
                    storage: "\(path)"
                    file: example.zone

                """
            arguments = ["/usr/sbin/knotd", "-c", path + "/conf"]
        }
        try Data(text.utf8).write(to: folder.appendingPathComponent("conf"))
        pid = try PeerServer.spawn(arguments, log: path + "/output")
    }

    private static func spawn(_ arguments: [String], log: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let vector = arguments.map { strdup($0) } + [nil]
        defer { vector.forEach { free($0) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, arguments[0], &actions, nil, vector, environ)
        try #require(result == 0, "start \(arguments[0]): \(Errno(result))")
        return pid
    }

    func stop() {
        kill(pid, SIGTERM)
        for _ in 0..<100 {
            if waitpid(pid, nil, WNOHANG) == pid { pid = 0 }
            if pid == 0 { break }
            usleep(20000)
        }
        if pid != 0 {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
        try? FileManager.default.removeItem(at: folder)
    }
}

/// Asks on the real clock and admits what comes.
private final class PeerClient {
    var exchange: UpstreamExchange
    private let poller: Poller
    private var admission = Admission()

    struct Answer {
        let facts: AdmittedReply
        let isStream: Bool
    }

    init(_ server: SocketAddress) throws {
        poller = try Poller()
        exchange = try UpstreamExchange(servers: [server], mark: 0x7774_0001, poller: poller, owner: 1, capacity: 16)
    }

    /// Asks until the server has the zone.
    func waitUntilReady() throws {
        for _ in 0..<200 {
            if let (completion, facts) = try? complete("www.example", .a), case .reply = completion.outcome,
                facts?.addressCount == 1
            {
                return
            }
            usleep(50000)
        }
        throw NotReady()
    }

    struct NotReady: Error {}

    func ask(_ name: String, _ type: RecordType) throws -> Answer {
        let (completion, facts) = try complete(name, type)
        return Answer(
            facts: try #require(facts, "\(name): \(completion.outcome), \(admission.refusal)"),
            isStream: completion.isStream)
    }

    private func complete(
        _ name: String, _ type: RecordType
    ) throws -> (UpstreamExchange.Completion, AdmittedReply?) {
        let slot = exchange.ask(
            Name(name)!, qtype: type.code, qclass: 1, dnssecOK: false, checkingDisabled: false,
            now: Clock.monotonic(), poller: poller)
        #expect(slot >= 0)
        let end = Clock.monotonic() + 6_000_000_000
        while Clock.monotonic() < end {
            let now = Clock.monotonic()
            exchange.expire(now: now, poller: poller)
            if let completion = exchange.nextCompletion(now: now, poller: poller) {
                guard case .reply = completion.outcome else { return (completion, nil) }
                return (completion, PeerClient.admit(exchange, &admission, Name(name)!, type))
            }
            for index in 0..<poller.wait(milliseconds: 20) {
                let event = poller.event(index)
                exchange.ready(index: UInt32(truncatingIfNeeded: event.tag), event.ready, now: now, poller: poller)
            }
        }
        throw NotReady()
    }

    private static func admit(
        _ exchange: borrowing UpstreamExchange, _ admission: inout Admission, _ name: Name, _ type: RecordType
    ) -> AdmittedReply? {
        var output = [UInt8](repeating: 0, count: 65535)
        return output.withUnsafeMutableBytes { raw in
            var span = raw.mutableBytes
            return admission.admit(exchange.reply, name: name, qtype: type.code, qclass: 1, into: &span)
        }
    }
}
