import Glibc
import Testing
import Wire

@testable import DNSProxy
@testable import Kernel

/// An exchange with its poller and a clock that moves only when told. It runs in a network namespace of its own, whose
/// loopback link is up; the servers live in the same thread, so nothing depends on the machine's speed.
final class UpstreamLab {
    var exchange: UpstreamExchange
    let poller: Poller
    var now: UInt64 = 1_000_000_000_000
    /// What was done, with the bytes of the replies.
    var done: [(completion: UpstreamExchange.Completion, reply: [UInt8])] = []

    static let millisecond: UInt64 = 1_000_000

    init(_ servers: [SocketAddress], mark: UInt32 = 0x7774_0001, capacity: Int = 64) throws {
        poller = try Poller()
        exchange = try UpstreamExchange(servers: servers, mark: mark, poller: poller, owner: 7, capacity: capacity)
    }

    convenience init(_ servers: FakeServer..., mark: UInt32 = 0x7774_0001) throws {
        try self.init(servers.map(\.address), mark: mark)
    }

    @discardableResult
    func ask(
        _ name: String = "www.example.com", _ type: RecordType = .a, dnssecOK: Bool = false,
        checkingDisabled: Bool = false
    ) -> Int {
        let slot = exchange.ask(
            Name(name)!, qtype: type.code, qclass: 1, dnssecOK: dnssecOK, checkingDisabled: checkingDisabled, now: now,
            poller: poller)
        drain()
        return slot
    }

    /// Handles what has come, until nothing more comes.
    func run() {
        while true {
            let count = poller.wait(milliseconds: 10)
            if count == 0 { return }
            handle(count)
        }
    }

    private func handle(_ count: Int) {
        for index in 0..<count {
            let event = poller.event(index)
            #expect(event.tag >> 32 == 7)
            exchange.ready(index: UInt32(truncatingIfNeeded: event.tag), event.ready, now: now, poller: poller)
        }
        drain()
    }

    /// Handles what is there now.
    func turn() {
        handle(poller.wait(milliseconds: 0))
    }

    /// Handles what comes until one more question is done, at most a second of the real clock a wait.
    func runUntilDone() throws {
        let before = done.count
        while done.count == before {
            let count = poller.wait(milliseconds: 1000)
            try #require(count > 0, "nothing came")
            handle(count)
        }
    }

    func drain() {
        while let completion = exchange.nextCompletion(now: now, poller: poller) {
            var bytes: [UInt8] = []
            if case .reply = completion.outcome { bytes = UpstreamLab.reply(exchange) }
            done.append((completion, bytes))
        }
    }

    private static func reply(_ exchange: borrowing UpstreamExchange) -> [UInt8] {
        exchange.reply.withUnsafeBytes { Array($0) }
    }

    /// Lets the clock reach the next deadline. Returns the milliseconds that passed.
    @discardableResult
    func pass() -> Int {
        let next = exchange.nextDeadline() ?? now
        let passed = next > now ? next - now : 0
        now += passed
        exchange.expire(now: now, poller: poller)
        drain()
        return Int(passed / UpstreamLab.millisecond)
    }

    var outcome: UpstreamExchange.Completion.Outcome? { done.last?.completion.outcome }
    var isAnswered: Bool { if case .reply = outcome { true } else { false } }
}

/// Runs `body` in a fresh network namespace with the loopback link up, then goes back. The calling thread must not change
/// meanwhile, so `body` does not wait asynchronously.
func inNamespace(_ body: () throws -> Void) throws {
    let old = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    try #require(old >= 0)
    defer { close(old) }
    try #require(unshare(newNetwork) == 0, "network namespaces need root")
    defer { precondition(setns(old, newNetwork) == 0, "cannot go back to the first network namespace") }
    let control = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(control) }
    var request = ifreq()
    withUnsafeMutableBytes(of: &request) { raw in
        raw.copyBytes(from: Array("lo".utf8))
        raw.storeBytes(of: Int16(IFF_UP), toByteOffset: 16, as: Int16.self)
    }
    try #require(ioctl(control, UInt(SIOCSIFFLAGS), &request) == 0, "loopback up")
    try body()
}

/// `CLONE_NEWNET` of <sched.h>.
private let newNetwork: CInt = 0x4000_0000

// The C library's module leaves <sched.h>'s Linux part out.
@_silgen_name("unshare") private func unshare(_ flags: CInt) -> CInt
@_silgen_name("setns") private func setns(_ descriptor: CInt, _ kind: CInt) -> CInt

/// A UDP socket that answers what the test says, and, where asked for, a TCP listener on the same port.
final class FakeServer {
    let number: CInt
    let address: SocketAddress
    private(set) var listener: CInt = -1
    private(set) var connections: [CInt] = []

    init(_ host: String = "127.0.0.2", port: UInt16 = 53) throws {
        let wanted = SocketAddress(IPAddress(host)!, port: port)
        let opened = socket(wanted.family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        let result = wanted.withSockaddr { bind(opened, $0, $1) }
        try #require(result == 0, "bind \(wanted): \(Errno.current())")
        number = opened
        address = wanted
    }

    deinit {
        close(number)
        connections.forEach { close($0) }
        if listener >= 0 { close(listener) }
    }

    /// A query received.
    struct Received {
        let bytes: [UInt8]
        let from: SocketAddress
        let connection: CInt

        var id: UInt16 { UInt16(bytes[0]) << 8 | UInt16(bytes[1]) }
        var name: Name {
            var name = Name()
            _ = name.parse(bytes.span.bytes, at: 12)
            return name
        }
        var questionEnd: Int { 12 + name.byteCount + 4 }
        var hasEDNS: Bool { bytes[11] == 1 }
        /// The name's bytes as asked.
        var letters: [UInt8] { Array(bytes[12..<questionEnd - 4]) }

        /// The header with these flags, the question, and what follows.
        func reply(flags: UInt16 = 0x8180, answers: UInt16 = 0, _ records: [UInt8] = []) -> [UInt8] {
            [bytes[0], bytes[1], UInt8(flags >> 8), UInt8(flags & 255), 0, 1, 0, UInt8(answers), 0, 0, 0, 0]
                + bytes[12..<questionEnd] + records
        }

        /// One A record of 300 seconds, 192.0.2.`last`.
        func address(_ last: UInt8 = 1) -> [UInt8] {
            reply(answers: 1, [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, last])
        }
    }

    func receive() -> Received? {
        var buffer = [UInt8](repeating: 0, count: 65535)
        var count = 0
        let from = SocketAddress.filled { count = recvfrom(number, &buffer, buffer.count, 0, $0, &$1) }
        guard count >= 0, let from else { return nil }
        return Received(bytes: Array(buffer[..<count]), from: from, connection: -1)
    }

    /// The next query, which must come.
    func expect(_ note: Comment? = nil) throws -> Received {
        FakeServer.wait(number)
        return try #require(receive(), note)
    }

    private static func wait(_ number: CInt) {
        var entry = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
        _ = poll(&entry, 1, 1000)
    }

    func send(_ bytes: [UInt8], to query: Received) {
        #expect(query.from.withSockaddr { sendto(number, bytes, bytes.count, 0, $0, $1) } == bytes.count)
    }

    /// Sends the next query back as a reply without records; allocates nothing.
    func echo(_ buffer: inout [UInt8]) {
        var raw = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { from in
                let count = recvfrom(number, &buffer, buffer.count, 0, from, &length)
                guard count > 0 else { return }
                buffer[2] |= 0x80
                _ = sendto(number, buffer, count, 0, from, length)
            }
        }
    }

    // MARK: TCP

    func listen() throws {
        listener = socket(address.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        // Connections of an earlier listener linger.
        var enabled: CInt = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &enabled, socklen_t(MemoryLayout<CInt>.size))
        try #require(address.withSockaddr { bind(listener, $0, $1) } == 0)
        try #require(Glibc.listen(listener, 8) == 0)
    }

    /// Connections accepted since the last call.
    func accept() -> [CInt] {
        var accepted: [CInt] = []
        while case let connection = Glibc.accept(listener, nil, nil), connection >= 0 {
            _ = fcntl(connection, F_SETFL, O_NONBLOCK)
            accepted.append(connection)
        }
        connections += accepted
        return accepted
    }

    /// The framed queries that have come over a connection.
    func receive(over connection: CInt, waits: Bool = true) -> [Received] {
        var buffer = [UInt8](repeating: 0, count: 65535)
        if waits { FakeServer.wait(connection) }
        let count = recv(connection, &buffer, buffer.count, 0)
        var queries: [Received] = []
        var at = 0
        while at + 2 <= count {
            let length = Int(buffer[at]) << 8 | Int(buffer[at + 1])
            queries.append(
                Received(bytes: Array(buffer[at + 2..<at + 2 + length]), from: address, connection: connection))
            at += 2 + length
        }
        return queries
    }

    func sendStream(_ bytes: [UInt8], to query: Received) {
        let framed = [UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes
        #expect(Glibc.send(query.connection, framed, framed.count, Int32(MSG_NOSIGNAL)) == framed.count)
    }

    func hangUp(_ connection: CInt) {
        connections.removeAll { $0 == connection }
        close(connection)
    }
}
