import CAllocations
import DNSProxy
import Foundation
import Glibc
import Kernel
import Synchronization
import Testing
import Wire

private let second: UInt64 = 1_000_000_000

/// A server and its clients on loopback in one thread, with a clock of its own.
private final class StreamLab {
    let poller: Poller
    var server: StreamServer
    let address: SocketAddress
    var now: UInt64 = 1000 * second
    private var clients: [CInt] = []

    init(connections: Int = 8, outstanding: Int = 64, isIPv6: Bool = false) throws {
        poller = try Poller()
        address = StreamLab.freePort(isIPv6 ? "::1" : "127.0.0.1")
        server = try StreamServer(
            listeners: [address], device: "lo", poller: poller, owner: 7, connections: connections, idleSeconds: 10,
            outstanding: outstanding)
    }

    deinit {
        for client in clients { close(client) }
    }

    /// An address nobody listens on.
    static func freePort(_ host: String) -> SocketAddress {
        var address = SocketAddress(IPAddress(host)!, port: 0)
        let socket = socket(address.family, CInt(SOCK_STREAM.rawValue), 0)
        _ = address.withSockaddr { bind(socket, $0, $1) }
        address.port = SocketAddress.filled { getsockname(socket, $0, &$1) }!.port
        close(socket)
        return address
    }

    /// - Parameter isReplacing: a descriptor to close first, when there is no other left.
    func connect(receiveBuffer: CInt = 0, isReplacing filler: CInt = -1) -> CInt {
        if filler >= 0 { close(filler) }
        let client = socket(address.family, CInt(SOCK_STREAM.rawValue), 0)
        var size = receiveBuffer
        if size > 0 { setsockopt(client, SOL_SOCKET, SO_RCVBUF, &size, 4) }
        #expect(address.withSockaddr { Glibc.connect(client, $0, $1) } == 0)
        var timeout = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        clients.append(client)
        return client
    }

    func forget(_ client: CInt) {
        close(client)
        clients.removeAll { $0 == client }
    }

    struct Query {
        let query: StreamQuery
        let message: [UInt8]
        var id: Int { Int(message[0]) << 8 | Int(message[1]) }
    }

    /// Handles events until there are none for a while, and returns the queries that came.
    func pump() -> [Query] {
        var queries = takeQueries()
        var rounds = 0
        while true {
            let (more, events) = handleEvents(milliseconds: 30)
            queries += more
            if events == 0 { return queries }
            rounds += 1
            if rounds == 10_000 {
                Issue.record("an event that never ends")
                return queries
            }
        }
    }

    func handleEvents(milliseconds: CInt) -> (queries: [Query], events: Int) {
        let count = poller.wait(milliseconds: milliseconds)
        for index in 0..<count {
            let event = poller.event(index)
            #expect(event.tag >> 32 == 7)
            server.ready(index: UInt32(truncatingIfNeeded: event.tag), event.ready, now: now, poller: poller)
        }
        return (takeQueries(), count)
    }

    func takeQueries() -> [Query] {
        var queries: [Query] = []
        while let query = server.nextQuery() {
            queries.append(Query(query: query, message: copyMessage(server, query)))
        }
        return queries
    }

    func reply(_ query: Query, _ message: [UInt8]? = nil) {
        let message = message ?? query.message
        server.reply(query.query.token, message.span.bytes, poller: poller, now: now)
    }
}

private func copyMessage(_ server: borrowing StreamServer, _ query: StreamQuery) -> [UInt8] {
    let bytes = server.message(query)
    return (0..<bytes.byteCount).map { bytes.u8($0) }
}

/// Answers what has come with the same bytes; returns how many queries that were.
private func answerAll(
    _ server: inout StreamServer, _ reply: RawSpan, _ poller: borrowing Poller, _ now: UInt64
) -> Int {
    var count = 0
    while let query = server.nextQuery() {
        if server.message(query).byteCount > 0 { count += 1 }
        server.reply(query.token, reply, poller: poller, now: now)
    }
    return count
}

/// A message of the size, with a recognisable body.
private func message(_ id: Int, byteCount: Int = 29) -> [UInt8] {
    [UInt8(id >> 8), UInt8(id & 255)] + (2..<byteCount).map { UInt8(($0 &* 31 &+ id) & 255) }
}

private func framed(_ message: [UInt8]) -> [UInt8] {
    [UInt8(message.count >> 8), UInt8(message.count & 255)] + message
}

private func write(_ client: CInt, _ bytes: [UInt8]) {
    #expect(send(client, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count)
}

/// Reads one framed message; `nil` at the end of the stream or after 5 seconds.
private func readMessage(_ client: CInt) -> [UInt8]? {
    guard let length = readBytes(client, 2) else { return nil }
    return readBytes(client, Int(length[0]) << 8 | Int(length[1]))
}

private func readBytes(_ client: CInt, _ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    return recv(client, &bytes, count, CInt(MSG_WAITALL)) == count ? bytes : nil
}

/// Whether the server has closed the connection: the stream's end or a reset, and not silence.
private func isClosed(_ client: CInt) -> Bool {
    var byte: UInt8 = 0
    let count = recv(client, &byte, 1, 0)
    return count == 0 || count < 0 && errno == ECONNRESET
}

@Suite struct StreamServerTests {
    @Test(arguments: [false, true]) func manyQueriesInOneSegmentAreAnsweredInAnyOrder(isIPv6: Bool) throws {
        let lab = try StreamLab(isIPv6: isIPv6)
        let client = lab.connect()
        write(client, (1...20).flatMap { framed(message($0)) })
        let queries = lab.pump()
        #expect(queries.map(\.message) == (1...20).map { message($0) })
        let own = SocketAddress.filled { getsockname(client, $0, &$1) }
        #expect(queries.allSatisfy { $0.query.peer == own })
        for query in queries.reversed() { lab.reply(query) }
        for id in (1...20).reversed() { #expect(readMessage(client) == message(id)) }
        #expect(lab.server.live == 1)
    }

    // RFC 7766 section 8: the length may come in another segment than the message, even in two.
    @Test func oneQueryInManySegments() throws {
        let lab = try StreamLab()
        let client = lab.connect()
        for (index, byte) in (framed(message(1)) + framed(message(2))).enumerated() {
            write(client, [byte])
            let queries = lab.pump()
            #expect(queries.map(\.id) == (index == 30 ? [1] : index == 61 ? [2] : []))
            for query in queries { lab.reply(query) }
        }
        #expect(readMessage(client) == message(1))
        #expect(readMessage(client) == message(2))
    }

    @Test func theLongestMessagesPassBothWays() throws {
        let lab = try StreamLab()
        let client = lab.connect()
        var size: CInt = 1 << 20
        setsockopt(client, SOL_SOCKET, SO_SNDBUF, &size, 4)
        let long = message(9, byteCount: 65_535)
        write(client, framed(message(8)) + framed(long) + framed(message(10)))
        let queries = lab.pump()
        #expect(queries.map(\.message) == [message(8), long, message(10)])
        for query in queries { lab.reply(query) }
        #expect(readMessage(client) == message(8))
        #expect(readMessage(client) == long)
        _ = lab.pump()
        #expect(readMessage(client) == message(10))
    }

    @Test func aHalfClosedConnectionGetsItsReplies() throws {
        let lab = try StreamLab()
        let client = lab.connect()
        write(client, framed(message(1)) + framed(message(2)) + [0, 30, 1, 2])
        shutdown(client, CInt(SHUT_WR))
        let queries = lab.pump()
        #expect(queries.map(\.id) == [1, 2])
        lab.reply(queries[1])
        #expect(lab.server.live == 1)
        lab.reply(queries[0])
        #expect(readMessage(client) == message(2))
        #expect(readMessage(client) == message(1))
        #expect(isClosed(client))
        #expect(lab.server.live == 0)
    }

    @Test(arguments: [0, 1, 11]) func aMessageWithoutAHeaderClosesTheConnection(byteCount: Int) throws {
        let lab = try StreamLab()
        let client = lab.connect()
        write(client, framed(message(1)) + framed([UInt8](repeating: 0, count: byteCount)))
        #expect(lab.pump().map(\.id) == [1])
        #expect(isClosed(client))
        #expect(lab.server.counters.malformed == 1)
    }

    @Test func idleConnectionsAreClosedAndBusyOnesNot() throws {
        let lab = try StreamLab()
        let (idle, partial, busy) = (lab.connect(), lab.connect(), lab.connect())
        write(partial, [0])
        write(busy, framed(message(1)))
        let queries = lab.pump()
        #expect(lab.server.nextDeadline == lab.now + 10 * second)
        lab.now += 6 * second
        write(partial, [29, 1])
        _ = lab.pump()
        lab.server.expire(now: lab.now, poller: lab.poller)
        #expect(lab.server.live == 3)
        lab.now += 5 * second
        lab.server.expire(now: lab.now, poller: lab.poller)
        #expect(isClosed(idle))
        #expect(isClosed(partial), "bytes of a query that never ends are no activity")
        #expect(lab.server.live == 1)
        lab.reply(queries[0])
        #expect(readMessage(busy) == message(1))
        #expect(lab.server.nextDeadline == lab.now + 10 * second, "idle since its reply")
        lab.now += 10 * second
        lab.server.expire(now: lab.now, poller: lab.poller)
        #expect(isClosed(busy))
        #expect(lab.server.counters.timedOut == 3)
        #expect(lab.server.nextDeadline == nil)
    }

    @Test func theOldestIdleConnectionMakesRoom() throws {
        let lab = try StreamLab(connections: 2)
        let first = lab.connect()
        _ = lab.pump()
        lab.now += second
        let second = lab.connect()
        write(first, framed(message(1)))
        for query in lab.pump() { lab.reply(query) }
        lab.now += 1
        let third = lab.connect()
        write(third, framed(message(3)))
        let queries = lab.pump()
        #expect(queries.map(\.id) == [3])
        #expect(readMessage(first) == message(1))
        #expect(lab.server.counters.evicted == 1)
        #expect(isClosed(second))
        // Now one is idle, one busy; a fourth takes the idle one's place, a fifth finds all busy.
        let fourth = lab.connect()
        write(fourth, framed(message(4)))
        #expect(lab.pump().map(\.id) == [4])
        #expect(isClosed(first))
        let fifth = lab.connect()
        _ = lab.pump()
        #expect(isClosed(fifth))
        #expect(lab.server.counters.refused == 1)
        lab.reply(queries[0])
        #expect(readMessage(third) == message(3))
    }

    @Test func aConnectionWithTooManyQueriesWaits() throws {
        let lab = try StreamLab(outstanding: 5)
        let (greedy, modest) = (lab.connect(), lab.connect())
        write(greedy, (1...500).flatMap { framed(message($0)) })
        var queries = lab.pump()
        #expect(queries.map(\.id) == [1, 2, 3, 4, 5])
        write(modest, framed(message(1000)))
        let other = lab.pump()
        #expect(other.map(\.id) == [1000])
        var answered = 0
        while answered < 500 {
            try #require(!queries.isEmpty, "stuck after \(answered)")
            lab.reply(queries.removeFirst())
            answered += 1
            #expect(readMessage(greedy) == message(answered))
            if queries.isEmpty { queries = lab.pump() }
            #expect(queries.count <= 5)
        }
    }

    @Test func aDiscardedQueryMakesRoomToo() throws {
        let lab = try StreamLab(outstanding: 1)
        let client = lab.connect()
        write(client, framed(message(1)) + framed(message(2)))
        let queries = lab.pump()
        #expect(queries.map(\.id) == [1])
        lab.server.discard(queries[0].query.token, poller: lab.poller, now: lab.now)
        #expect(lab.pump().map(\.id) == [2])
    }

    @Test func aClientThatDoesNotReadHoldsUpItselfOnly() throws {
        let lab = try StreamLab()
        let client = lab.connect(receiveBuffer: 8192)
        write(client, (1...16).flatMap { framed(message($0)) })
        for query in lab.pump() { lab.reply(query, message(query.id, byteCount: 60_000)) }
        write(client, framed(message(17)))
        #expect(lab.pump().isEmpty, "not read while replies wait")
        let other = lab.connect()
        write(other, framed(message(99)))
        #expect(lab.pump().map(\.id) == [99])
        var received: [UInt8] = []
        var late: [StreamLab.Query] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while received.count < 16 * 60_002 {
            let count = recv(client, &buffer, buffer.count, 0)
            try #require(count > 0)
            received += buffer[..<count]
            late += lab.handleEvents(milliseconds: 0).queries
        }
        #expect(received == (1...16).flatMap { framed(message($0, byteCount: 60_000)) })
        #expect((late + lab.pump()).map(\.id) == [17])
    }

    @Test func aClientThatNeverReadsIsClosed() throws {
        let lab = try StreamLab()
        let client = lab.connect(receiveBuffer: 8192)
        write(client, (1...60).flatMap { framed(message($0)) })
        let queries = lab.pump()
        #expect(queries.count == 60)
        for query in queries { lab.reply(query, message(query.id, byteCount: 65_535)) }
        #expect(lab.server.live == 0, "over a megabyte would wait")
    }

    @Test func aLateReplyDoesNotReachTheNextConnection() throws {
        let lab = try StreamLab(connections: 1)
        let first = lab.connect()
        write(first, framed(message(1)))
        let queries = lab.pump()
        var reset = linger(l_onoff: 1, l_linger: 0)
        setsockopt(first, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
        lab.forget(first)
        _ = lab.pump()
        #expect(lab.server.live == 0)
        let second = lab.connect()
        write(second, framed(message(2)))
        let next = lab.pump()
        lab.reply(queries[0])
        #expect(copyMessage(lab.server, queries[0].query) == [])
        lab.reply(next[0])
        lab.reply(next[0], message(3))
        #expect(readMessage(second) == message(2))
        #expect(lab.server.live == 1, "a reply too many is the caller's affair, and harmless")
    }

    @Test func aResetIsNoticedWhileReadingWaits() throws {
        let lab = try StreamLab(outstanding: 1)
        let client = lab.connect()
        write(client, framed(message(1)) + framed(message(2)))
        #expect(lab.pump().map(\.id) == [1])
        var reset = linger(l_onoff: 1, l_linger: 0)
        setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
        lab.forget(client)
        #expect(lab.pump().isEmpty)
        #expect(lab.server.live == 0)
    }

    @Test func aQueryAndItsReplyAllocateNothing() throws {
        let lab = try StreamLab()
        let client = lab.connect()
        let query = framed(message(1))
        let reply = message(2, byteCount: 200)
        var counted: [UInt] = []
        for _ in 0..<20 {
            write(client, query + query + query)
            var answered = 0
            let before = allocations_of_this_thread()
            while answered < 3 {
                for index in 0..<lab.poller.wait(milliseconds: 1000) {
                    let event = lab.poller.event(index)
                    lab.server.ready(
                        index: UInt32(truncatingIfNeeded: event.tag), event.ready, now: lab.now, poller: lab.poller)
                }
                answered += answerAll(&lab.server, reply.span.bytes, lab.poller, lab.now)
            }
            counted.append(UInt(allocations_of_this_thread() - before))
            for _ in 0..<3 { #expect(readMessage(client) == reply) }
        }
        // The first rounds accept the connection and make the runtime's tables.
        #expect(counted[2...].allSatisfy { $0 == 0 }, "\(counted)")
    }

    @Test func errorsSayWhatToDo() throws {
        let lab = try StreamLab()
        let open = { (device: String?) throws(StreamServerError) in
            _ = try StreamServer(listeners: [lab.address], device: device, poller: lab.poller, owner: 8)
        }
        #expect(throws: StreamServerError.portInUse(lab.address)) { try open(nil) }
        #expect(StreamServerError.portInUse(lab.address).description.contains("choose another listener port"))
        #expect(throws: StreamServerError.noSuchDevice("webtun-none")) { try open("webtun-none") }
    }

    /// On a thread with a table of descriptors of its own, which is then filled up.
    @Test func noDescriptorLeft() throws {
        try onOwnDescriptorTable {
            let lab = try StreamLab()
            let busy = lab.connect()
            write(busy, framed(message(1)))
            let queries = lab.pump()
            let refused = lab.connect()
            var fillers: [CInt] = []
            while true {
                let filler = dup(busy)
                if filler < 0 { break }
                fillers.append(filler)
            }
            #expect(errno == EMFILE)
            #expect(lab.pump().isEmpty)
            #expect(isClosed(refused), "told so, not left hanging")
            #expect(lab.server.counters.refused == 1)
            #expect(lab.server.live == 1)
            close(fillers.removeLast())
            let idle = lab.connect(isReplacing: fillers.removeLast())
            _ = lab.pump()
            #expect(lab.server.live == 2)
            let next = lab.connect(isReplacing: fillers.removeLast())
            write(next, framed(message(2)))
            #expect(lab.pump().map(\.id) == [2])
            #expect(isClosed(idle), "an idle connection gives its descriptor")
            for filler in fillers { close(filler) }
            lab.reply(queries[0])
            #expect(readMessage(busy) == message(1))
            let after = lab.connect()
            write(after, framed(message(3)))
            #expect(lab.pump().map(\.id) == [3])
        }
    }
}

/// `unshare(2)`, which Glibc's module leaves out; 0x400 is `CLONE_FILES` of `<sched.h>`.
@_silgen_name("unshare") private func unshare(_ flags: CInt) -> CInt

/// Runs the body on a new thread whose descriptors are its own.
private func onOwnDescriptorTable(_ body: @escaping @Sendable () throws -> Void) throws {
    let done = DispatchSemaphore(value: 0)
    let result = Mutex<Result<Void, any Error>>(.success(()))
    Thread.detachNewThread {
        result.withLock { result in
            result = Result {
                try #require(unshare(0x400) == 0)
                try body()
            }
        }
        done.signal()
    }
    done.wait()
    try result.withLock { try $0.get() }
}
