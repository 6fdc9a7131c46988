import CAllocations
import Glibc
import Synchronization
import Testing
import Wire

@testable import QueryLog

@Suite struct QueryRingTests {
    static func row(_ number: Int) -> QueryRow {
        var row = QueryRow()
        row.time = Int64(number)
        row.client = IPAddress(high: UInt64(number), low: ~UInt64(number))
        row.latency = Int32(truncatingIfNeeded: number)
        row.qtype = UInt16(truncatingIfNeeded: number)
        return row
    }

    /// A name of 1 to 255 bytes that depends on the number alone.
    static func bytes(_ number: Int, atMost limit: Int) -> [UInt8] {
        (0..<number % (limit + 1)).map { UInt8(truncatingIfNeeded: number &* 31 &+ $0) }
    }

    @Test func givesBackWhatWasPushed() throws {
        let ring = try QueryRing(capacity: 64 << 10)
        let name = try #require(Name("ads.example"))
        var digest = AnswerDigest()
        digest.append(IPAddress(v4: 0xc000_0201))
        let taken = ring.push(Self.row(7), qname: name.bytes, answer: digest.bytes)
        #expect(taken)
        var position = ring.records.position
        var seen = 0
        while ring.readQuery(
            &position,
            { (row, qname, answer) in
                seen += 1
                #expect(row == Self.row(7))
                #expect(Name.text(qname) == "ads.example")
                #expect(AnswerDigest.text(answer) == "192.0.2.1")
            })
        {}
        #expect(seen == 1)
        #expect(
            ring.used == 8 + MemoryLayout<QueryRow>.size + 13 + 5 + (8 - (MemoryLayout<QueryRow>.size + 18) % 8) % 8)
        ring.records.release(to: position)
        #expect(ring.used == 0)
    }

    @Test func queriesAndFlowsComeOutInTheirOrder() throws {
        let ring = try QueryRing(capacity: 64 << 10)
        var flow = FlowRow()
        flow.flow = 9
        flow.remote = IPAddress("2001:db8::9")!
        flow.bytes = .max
        flow.duration = -7
        ring.push(Self.row(1), qname: Name("a.example")!.bytes, answer: RawSpan())
        ring.push(flow, name: Name("flow.example")!.bytes)
        flow.event = .ended
        ring.push(flow, name: RawSpan())
        ring.push(Self.row(2), qname: Name("b.example")!.bytes, answer: RawSpan())
        #expect(ring.dropped == 0)
        var position = ring.records.position
        var seen: [String] = []
        while ring.read(
            &position, query: { (row, qname, _) throws(Never) in seen.append("\(row.time) \(Name.text(qname))") },
            flow: { (row, name) throws(Never) in
                var expected = flow
                expected.event = row.event
                #expect(row == expected)
                seen.append("\(row.event) \(name.byteCount == 0 ? "-" : Name.text(name))")
            })
        {}
        #expect(seen == ["1 a.example", "judged flow.example", "ended -", "2 b.example"])
    }

    @Test func dropsAndCountsWhenFull() throws {
        let ring = try QueryRing(capacity: 64 << 10)
        var pushed = 0
        func push(_ row: QueryRow, _ qname: [UInt8]) -> Bool {
            ring.push(row, qname: qname.span.bytes, answer: RawSpan())
        }
        while push(Self.row(pushed), [1, 97, 0]) { pushed += 1 }
        #expect(pushed > 300)
        #expect(ring.dropped == 1)
        #expect(!push(Self.row(0), []))
        #expect(ring.dropped == 2)
        // Giving one record back makes room for one.
        var position = ring.records.position
        _ = ring.readQuery(&position) { (row, _, _) in #expect(row.time == 0) }
        #expect(!push(Self.row(0), [1, 97, 0]))
        ring.records.release(to: position)
        #expect(push(Self.row(pushed), [1, 97, 0]))
        // The rest comes out in order.
        var next = 1
        while ring.readQuery(
            &position,
            { (row, _, _) in
                #expect(row.time == Int64(next))
                next += 1
            })
        {}
        #expect(next == pushed + 1)
    }

    @Test func everyRowArrivesOnceAndInOrderAcrossThreads() throws {
        let ring = try QueryRing(capacity: 64 << 10)
        let count = 100_000
        let finished = Atomic<Bool>(false)
        withThread {
            for number in 0..<count {
                let name = Self.bytes(number, atMost: 255)
                let answer = Self.bytes(number &* 7, atMost: 64)
                while !ring.push(Self.row(number), qname: name.span.bytes, answer: answer.span.bytes) {
                    sched_yield()
                }
            }
            finished.store(true, ordering: .releasing)
        } meanwhile: {
            var position = ring.records.position
            var next = 0
            var wrong = 0
            while next < count {
                let before = next
                while ring.readQuery(
                    &position,
                    { (row, qname, answer) in
                        let good =
                            row == Self.row(next)
                            && qname.matches(Self.bytes(next, atMost: 255).span.bytes)
                            && answer.matches(Self.bytes(next &* 7, atMost: 64).span.bytes)
                        if !good { wrong += 1 }
                        next += 1
                    })
                {
                    if next & 15 == 0 { ring.records.release(to: position) }
                }
                ring.records.release(to: position)
                if before == next { sched_yield() }
            }
            #expect(wrong == 0)
            #expect(ring.used == 0)
        }
        let done = finished.load(ordering: .acquiring)
        #expect(done)
    }

    @Test func wakesTheConsumerWhenTheLineIsCrossed() throws {
        let ring = try QueryRing(capacity: 64 << 10)
        func woken() -> Bool {
            var watch = pollfd(fd: ring.records.wakeDescriptor, events: Int16(POLLIN), revents: 0)
            return poll(&watch, 1, 0) == 1
        }
        ring.records.requestWake(whenOver: 1000)
        for number in 0..<7 { ring.push(Self.row(number), qname: RawSpan(), answer: RawSpan()) }
        #expect(!woken())
        for number in 0..<7 { ring.push(Self.row(number), qname: RawSpan(), answer: RawSpan()) }
        #expect(woken())
        ring.records.clearWake()
        #expect(!woken())
        // A line already crossed wakes at once.
        ring.records.requestWake(whenOver: 1000)
        #expect(woken())
    }

    @Test func pushAllocatesNothing() throws {
        let ring = try QueryRing(capacity: 1 << 20)
        let name = try #require(Name("a.long.enough.name.example"))
        var digest = AnswerDigest()
        digest.append(IPAddress(v4: 0xc000_0207))
        digest.append(IPAddress(v4: 0xc000_0208))
        let before = allocations_of_this_thread()
        var pushed = 0
        for number in 0..<20_000 {
            if ring.push(Self.row(number), qname: name.bytes, answer: digest.bytes) { pushed += 1 }
        }
        let after = allocations_of_this_thread()
        #expect(pushed > 1000 && ring.dropped > 1000)
        #expect(after == before)
        // The counter itself counts.
        let block = [UInt8](repeating: 1, count: pushed)
        #expect(allocations_of_this_thread() > after && block.count == pushed)
    }
}

/// Runs `body` in a thread of its own while `other` runs here, and waits for both.
func withThread(_ body: @escaping @Sendable () -> Void, meanwhile other: () throws -> Void) rethrows {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let result = pthread_create(
        &thread, nil,
        { argument in
            Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    precondition(result == 0)
    defer { pthread_join(thread, nil) }
    try other()
}

extension QueryRing {
    /// Reads one record, a query's.
    func readQuery(_ position: inout Int, _ body: (borrowing QueryRow, RawSpan, RawSpan) -> Void) -> Bool {
        read(
            &position, query: { (row, qname, answer) throws(Never) in body(row, qname, answer) },
            flow: { (_, _) throws(Never) in Issue.record("a flow's record") })
    }
}
