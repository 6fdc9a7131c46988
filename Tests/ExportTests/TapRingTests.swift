import CAllocations
import Foundation
import QueryLog
import Testing
import Wire

@testable import Export

@Suite struct TapRingTests {
    @Test func whatIsPushedComesOutInOrder() throws {
        let seed = UInt64.random(in: 1 ... .max)
        var random = seed
        func next(_ bound: Int) -> Int {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            return Int(random % UInt64(bound))
        }
        let ring = try TapRing(capacity: 1, wants: .messages)
        var waiting: [(Int32, [UInt8])] = []
        var number: Int32 = 0
        var dropped = 0
        for _ in 0..<200 {
            for _ in 0..<next(200) {
                let bytes = (0..<next(next(50) == 0 ? 60_000 : 300)).map {
                    UInt8(truncatingIfNeeded: $0 &+ Int(number))
                }
                if ring.add(row { $0.latency = number }, bytes) {
                    waiting.append((number, bytes))
                } else {
                    dropped += 1
                }
                number += 1
            }
            guard next(3) == 0 else { continue }
            var index = 0
            ring.drain { tap, message in
                let (number, bytes) = waiting[index]
                #expect(tap.row.latency == number && message.matches(bytes.span.bytes), "seed \(seed)")
                index += 1
            }
            #expect(index == waiting.count, "seed \(seed)")
            waiting = []
        }
        #expect(ring.dropped == dropped && dropped > 0)
    }

    @Test func twoThreadsLoseNothingThatWasTaken() throws {
        let ring = try TapRing(capacity: 1, wants: .messages)
        let ended = DispatchSemaphore(value: 0)
        nonisolated(unsafe) var pushed = 0
        Thread.detachNewThread {
            for number in 0..<50_000 where ring.add(row { $0.latency = Int32(number) }, [UInt8(number & 255)]) {
                pushed += 1
            }
            ended.signal()
        }
        var seen = 0
        var last: Int32 = -1
        var isOver = false
        repeat {
            isOver = ended.wait(timeout: .now()) == .success
            ring.drain { tap, message in
                #expect(tap.row.latency > last && message.u8(0) == UInt8(tap.row.latency & 255))
                last = tap.row.latency
                seen += 1
            }
        } while !isOver
        ring.drain { _, _ in seen += 1 }
        #expect(seen == pushed && seen + ring.dropped == 50_000)
    }

    @Test func aPushAllocatesNothing() throws {
        let ring = try TapRing(wants: .messages)
        let bytes = message("www.example")
        let row = row()
        ring.add(row, bytes)
        let before = allocations_of_this_thread()
        for _ in 0..<100_000 { ring.push(TapRow(.answer, row, resolverPort: 53), message: bytes.span.bytes) }
        #expect(allocations_of_this_thread() == before)
        #expect(ring.dropped > 0)
    }
}
