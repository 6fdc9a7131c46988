import GRDB
import Synchronization

/// An entry of a list without its place in it.
public struct ListedName: Sendable, Equatable {
    public var name: String
    public var kind: EntryKind
}

/// What two lists have in common. An entry is the same in both when name, action and match are.
public struct ListDifference: Sendable, Equatable {
    public enum Part: Sendable, CaseIterable { case onlyFirst, onlySecond, both }

    public var onlyFirst = 0
    public var onlySecond = 0
    public var both = 0
}

extension BlocklistStore {
    /// Compares two lists, in force or not: one pass over each, sorted; memory does not grow with the lists.
    ///
    /// - Parameters:
    ///   - told: called with each entry, sorted by name.
    ///   - progress: counts entries of both.
    /// - Throws: `BlocklistError.noSuchList`.
    public func difference(
        _ first: String, _ second: String, progress: @escaping ProgressHandler = { _ in },
        told: (ListDifference.Part, ListedName) -> Void
    ) throws -> ListDifference {
        try read { db in
            let (first, second) = (try BlocklistStore.list(db, first), try BlocklistStore.list(db, second))
            let total = Int64(first.entries + second.entries)
            let sorted = Mutex<Int64>(0)
            let handler = SendableHandler(progress)
            SortedEntries.prepare(db) {
                let done = sorted.withLock { count in
                    count += 1
                    return count
                }
                if done & 0x3FFF == 0 {
                    handler.call(WorkProgress(phase: .comparing, done: done, total: total))
                }
            }
            var left = try SortedEntries(db, list: first.id)
            try left.next()
            var right = try SortedEntries(db, list: second.id)
            try right.next()
            var difference = ListDifference()
            while !left.isAtEnd || !right.isAtEnd {
                let order = left.order(right)
                if order < 0 {
                    difference.onlyFirst += 1
                    told(.onlyFirst, ListedName(left))
                    try left.next()
                } else if order > 0 {
                    difference.onlySecond += 1
                    told(.onlySecond, ListedName(right))
                    try right.next()
                } else {
                    difference.both += 1
                    told(.both, ListedName(left))
                    try left.next()
                    try right.next()
                }
            }
            return difference
        }
    }
}

extension ListedName {
    fileprivate init(_ entry: borrowing SortedEntries) {
        self.init(name: String(decoding: entry.name, as: UTF8.self), kind: entry.kind)
    }
}

/// A handler of progress for a function that SQLite calls on the thread that asked.
private struct SendableHandler: @unchecked Sendable {
    let call: ProgressHandler

    init(_ call: @escaping ProgressHandler) {
        self.call = call
    }
}
