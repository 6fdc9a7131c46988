import TestPackets
import Testing

@testable import ContentFilter
@testable import Wire

/// The window against a dictionary of bytes.
@Suite struct StreamWindowTests {
    /// Pieces of any place and length, at first few and wide apart, at last none missing.
    @Test func anyOrderAndOverlap() {
        let seed = UInt64.random(in: 0 ... .max)
        print("StreamWindowTests: seed \(seed)")
        var generator = SeededGenerator(seed)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: StreamWindow.memoryByteCount, alignment: 64)
        defer { memory.deallocate() }
        // What a former stream left there is of no account.
        memory.initializeMemory(as: UInt8.self, repeating: 0xff, count: StreamWindow.memoryByteCount)
        var window = StreamWindow(base: memory)
        for round in 0..<18 {
            window.clear()
            var arrived: [Int: UInt8] = [:]
            var end = 0
            // Small streams try all corners of a word, wide ones the window's end.
            let reach = round % 3 == 0 ? StreamWindow.byteCount + 100 : Int.random(in: 1...400, using: &generator)
            let longest = [1, 9, 70, 1460, 20_000].randomElement(using: &generator)!
            for step in 0..<200 {
                let offset = step == 199 ? 0 : Int.random(in: 0..<reach, using: &generator)
                let count = step == 199 ? reach : Int.random(in: 0...longest, using: &generator)
                let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
                window.insert(bytes.span.bytes, at: offset)
                for index in 0..<count where offset + index < StreamWindow.byteCount && arrived[offset + index] == nil {
                    arrived[offset + index] = bytes[index]
                }
                while arrived[end] != nil { end += 1 }
                guard window.end == end else {
                    Issue.record("seed \(seed), round \(round), step \(step): \(window.end) is not \(end)")
                    return
                }
                if step % 20 == 19 || step < 20 {
                    #expect(array(window.bytes(end)) == (0..<end).map { arrived[$0]! }, "seed \(seed), round \(round)")
                }
            }
            #expect(window.isFull == (end == StreamWindow.byteCount))
        }
    }
}
