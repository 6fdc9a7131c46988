import Foundation
import Glibc
import Testing

@testable import Kernel

struct FileWatchTests {
    /// A watch that expectations can call.
    final class Ear {
        private var watch: FileWatch
        var number: CInt { watch.number }

        init() throws { watch = try FileWatch() }

        func add(_ path: String, _ events: FileWatch.Events) -> Bool { watch.add(path, events) }
        func drain() -> FileWatch.Events { watch.drain() }
    }

    private func isReadable(_ number: CInt, _ milliseconds: CInt = 2000) -> Bool {
        var entry = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, milliseconds) == 1
    }

    @Test func hearsWhatBecomesOfFiles() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-watch-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("a")
        let watch = try Ear()
        #expect(watch.add(folder.path, [.made, .renamed]))
        #expect(!watch.add(file.path, .written), "it is not there yet")
        #expect(watch.drain() == [])
        #expect(!isReadable(watch.number, 0))

        let handle = open(file.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)
        let owner = Descriptor(owning: handle)
        #expect(isReadable(watch.number))
        #expect(watch.drain() == .made)
        #expect(watch.add(file.path, [.written, .closed]))
        #expect(watch.add(file.path, [.written, .closed]), "once more")
        _ = [1, 2, 3].withUnsafeBytes { owner.write($0) }
        #expect(isReadable(watch.number))
        #expect(watch.drain() == .written)
        _ = consume owner
        #expect(isReadable(watch.number))
        #expect(watch.drain() == .closed)

        // What is not watched is not heard of: a file beside it is.
        try Data([1]).write(to: folder.appendingPathComponent("b"))
        #expect(watch.drain() == .made)
        try FileManager.default.moveItem(
            at: folder.appendingPathComponent("b"), to: folder.appendingPathComponent("c"))
        #expect(isReadable(watch.number))
        #expect(watch.drain() == .renamed)
        #expect(watch.drain() == [])
    }
}
