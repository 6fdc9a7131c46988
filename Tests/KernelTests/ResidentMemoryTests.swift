import Foundation
import Glibc
import Testing

@testable import Kernel

@Suite struct ResidentMemoryTests {
    private static let smaps = """
        55d4c0a00000-55d4c0a21000 r--p 00000000 fe:00 1234                       /usr/bin/webtun
        Size:                132 kB
        Rss:                 128 kB
        Shared_Clean:          0 kB
        Private_Clean:       128 kB
        Private_Dirty:         0 kB
        Anonymous:             0 kB
        Swap:                  0 kB
        VmFlags: rd mr mw me
        55d4c0a21000-55d4c0a30000 r--p 00021000 fe:00 1234                       /usr/bin/webtun
        Rss:                  60 kB
        Private_Dirty:        12 kB
        Anonymous:            12 kB
        Swap:                  0 kB
        55d4c0a30000-55d4c0a31000 r--p 00030000 fe:00 1234                       /usr/bin/webtun
        Rss:                   4 kB
        Anonymous:             0 kB
        Swap:                  4 kB
        55d4c0a31000-55d4c0a40000 r-xp 00031000 fe:00 1234                       /usr/lib/with space.so (deleted)
        Rss:                  40 kB
        Anonymous:             0 kB
        55d4c0a40000-55d4c0a41000 rw-p 00040000 fe:00 1234                       /usr/bin/webtun
        Rss:                   4 kB
        7f0000000000-7f0000100000 r--s 00000000 fe:00 99                         /var/lib/webtun/blocklist.index
        Rss:                1024 kB
        7f0000100000-7f0000200000 r--p 00000000 00:00 0
        Rss:                1024 kB
        7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                          [vdso]
        Rss:                   8 kB
        """

    @Test func onlyWhatIsStillTheFilesIsLetGo() {
        let found = ResidentMemory.parse(Self.smaps)
        #expect(found.count == 8)
        #expect(found.map(\.isClean) == [true, false, false, true, false, false, false, false])
        #expect(found[0].start == 0x55d4_c0a0_0000 && found[0].byteCount == 0x21000 && found[0].resident == 131_072)
        #expect(ResidentMemory.parse("nonsense\n: 1 kB\nRss: 3 kB\n0-0 r--p\n").isEmpty)
    }

    @Test func whatWasThereComesBack() {
        // Constants and code of this program and its libraries, before and after.
        let before = String(describing: Date(timeIntervalSince1970: 0)) + "\(JSONSerialization.isValidJSONObject([1]))"
        let clean = ResidentMemory.mappings().filter(\.isClean)
        #expect(clean.count > 3, "the program and its libraries")
        #expect(ResidentMemory.giveBack() > 1 << 20)
        let after = String(describing: Date(timeIntervalSince1970: 0)) + "\(JSONSerialization.isValidJSONObject([1]))"
        #expect(before == after)
        // Once more: what is resident now is what was needed since.
        #expect(ResidentMemory.giveBack() < clean.reduce(0) { $0 + $1.resident })
    }

    @Test func theHeapGoesBackToo() throws {
        func resident() throws -> Int {
            let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
            return Int(text.split(separator: " ")[1])! * 4096
        }
        // Small pieces, every other one freed: they stay in the heap.
        var pieces = (0..<200_000).map { _ in malloc(200)! }
        for piece in pieces { memset(piece, 1, 200) }
        let full = try resident()
        let kept = pieces.removeLast()
        for piece in pieces { free(piece) }
        pieces = []
        ResidentMemory.giveBack()
        #expect(try resident() < full - 20_000_000)
        free(kept)
    }
}
