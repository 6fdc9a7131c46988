import GRDB
import Glibc
import Kernel

/// What a list adds to the other lists in force.
public struct ListUniqueness: Sendable, Equatable {
    /// Entries that were judged.
    public var entries = 0
    /// Those whose name, or the names below it, would be decided otherwise without the list.
    public var unique = 0
    /// Entries that are no names, and were not judged.
    public var others = 0
}

extension BlocklistStore {
    /// Finds what a list alone decides: an entry that blocks is unique when the other lists in force would leave its name,
    /// or the names below it, unblocked; one that allows when they would block it. Your rules are not looked at.
    ///
    /// The other lists are compiled into an index of their own in the directory for temporary files; so it takes as long
    /// as building the index.
    ///
    /// - Parameter told: called with each unique entry, in the order of lines.
    /// - Throws: `BlocklistError.noSuchList`.
    public func unique(
        _ name: String, progress: @escaping ProgressHandler = { _ in }, told: (_ line: Int, ListedName) -> Void
    ) throws -> ListUniqueness {
        try read { db in
            let list = try BlocklistStore.list(db, name)
            let scratch = try ScratchDirectory()
            let path = scratch.path + "/others.index"
            try BlocklistStore.build(
                db, BlocklistStore.counters(db), to: path, excluding: list.id, progress)
            let index = try IndexImage(path: path)
            let others = PolicySnapshot(
                index: index, overlay: try Overlay([], version: 0, seed: index.header.seed))
            var result = ListUniqueness()
            var wire: [UInt8] = []
            try unsafe EntryScan(db, list: list.id).forEach { id, kind, name, options throws(BlocklistError) in
                let isPlain = options.isEmpty && !kind.contains(.address) && !kind.isPattern
                guard isPlain, unsafe BlocklistStore.compose(name, &wire) else {
                    result.others += 1
                    return
                }
                result.entries += 1
                if result.entries & 0xFFFF == 0 {
                    progress(
                        WorkProgress(
                            phase: .comparing, done: Int64(result.entries), total: Int64(list.entries)))
                }
                func isChanged(_ wire: [UInt8]) -> Bool {
                    let action = unsafe others.verdict(for: wire.span.bytes).action
                    if kind.contains(.allow) { return action == .block }
                    return action == .forward || kind.contains(.important) && action == .allow
                }
                let speaksOfName = !kind.contains(.below)
                let speaksOfMore = !kind.contains(.exact)
                // No list has this label: it stands for any name below.
                let below: [UInt8] = [1, UInt8(ascii: "_")]
                if speaksOfName && isChanged(wire) || speaksOfMore && isChanged(below + wire) {
                    result.unique += 1
                    told(id.line, unsafe ListedName(name: String(decoding: name, as: UTF8.self), kind: kind))
                }
            }
            return result
        }
    }

    /// Wire form of a stored name, with the root's byte. Returns false for what is none.
    private static func compose(_ name: UnsafeRawBufferPointer, _ wire: inout [UInt8]) -> Bool {
        guard name.count > 0, name.count <= NameBytes.longest else { return false }
        wire.removeAll(keepingCapacity: true)
        wire.append(0)
        var length = 0
        for index in name.indices {
            let byte = unsafe name[index]
            if byte == NameBytes.dot {
                wire[length] = UInt8(wire.count - length - 1)
                length = wire.count
                wire.append(0)
            } else {
                guard wire.count - length <= NameBytes.longestLabel else { return false }
                wire.append(byte)
            }
        }
        wire[length] = UInt8(wire.count - length - 1)
        wire.append(0)
        return true
    }
}

extension EntryKind {
    /// Whether the name column holds a pattern.
    var isPattern: Bool { rawValue & 64 != 0 }
}

/// A directory for temporary files of one piece of work, removed with all that is in it when the value goes.
final class ScratchDirectory {
    let path: String

    init() throws(BlocklistError) {
        let base = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/webtun-XXXXXX".utf8CString)
        guard unsafe template.withUnsafeMutableBufferPointer({ unsafe mkdtemp($0.baseAddress!) }) != nil else {
            throw .system("create a directory in \(base)", "\(Errno.current())")
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        guard let directory = unsafe opendir(path) else { return }
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: entry.pointee.d_name) { pointer in
                unsafe String(cString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
            }
            if name != ".", name != ".." { _ = unsafe unlink(path + "/" + name) }
        }
        unsafe closedir(directory)
        _ = unsafe rmdir(path)
    }
}
