import GRDB
import Glibc
import Kernel

/// Watches the state directory for changes of lists and rules, made by this process or by others.
///
/// For one thread or task at a time: `poll`, then wait for `number` to be readable or `pause` to be over, and so on. A quiet
/// question costs one `PRAGMA data_version` and one `stat`.
public final class PolicyFollower {
    private let store: BlocklistStore
    private var current: PolicySnapshot
    private var dataVersion: Int64 = -1
    private var file = FileMark()
    /// Which addresses belong to which devices; matters while the policy's `needsNeighbours`.
    public var neighbours: Neighbours = [:]
    /// Whether that matters now.
    public var needsNeighbours: Bool { current.needsNeighbours }
    /// What the profiles in force were made of, and the times (microseconds since 1970) for which they hold.
    private var groups: GroupInputs
    private var known: Neighbours = [:]
    private var validity: Range<Int64> = 0..<0
    /// When a compiled index was first found missing for the lists, in microseconds; nil when it is there.
    private var staleSince: Int64?
    private let compiler: BackgroundCompile
    /// nil where the kernel gives none: changes are then seen when the pause is over.
    private var watch: FileWatch?
    /// Until when, in microseconds, the next pauses are short: a write was heard, whose commit is still to be seen.
    private var hastyUntil: Int64 = 0
    /// What was in force, and since when it is no more. The packet's thread lets go of a policy when it takes the next; here
    /// it is kept a little longer, so that its memory is given back by this thread.
    private var retired: [(policy: PolicySnapshot, since: Int64)] = []

    /// How long others are given to compile after they changed the lists, before this process does; in microseconds.
    private static let patience: Int64 = 1_000_000
    /// A commit follows its last write when the disk has it.
    private static let haste: Int64 = 200_000
    private static let retirement: Int64 = 2_000_000

    /// - Parameter current: what is in force; from `BlocklistStore.snapshot`.
    /// - Throws: `BlocklistError`, as opening a `BlocklistStore`.
    public init(state: String, current: PolicySnapshot) throws {
        // A connection of its own: `data_version` does not tell of a connection's own commits.
        store = try BlocklistStore(state: state)
        self.current = current
        groups = current.members.inputs
        file = FileMark(store.indexPath)
        compiler = BackgroundCompile(state: state)
        watch = try? FileWatch()
        listen()
    }

    /// Why lists that were changed are not in force: their index cannot be made. Tried again and again; rules are followed
    /// meanwhile.
    public var trouble: (any Error)? { staleSince == nil ? nil : compiler.failure }

    /// Readable when something may have changed; nil: only the pause tells.
    public var number: CInt? {
        hastyUntil > 0 ? nil : watch?.number
    }

    /// Milliseconds after which `poll` is to be called although nothing was heard.
    public var pause: CInt {
        if hastyUntil > 0 { return 2 }
        // Devices are looked at that often, and a schedule or a pause changes something at its time.
        let pause: Int64 = watch == nil || staleSince != nil || needsNeighbours ? 250 : 1000
        // Nothing is known of the times after an error.
        guard !validity.isEmpty else { return CInt(pause) }
        return CInt(min(pause, max(1, (validity.upperBound - BlocklistStore.now() + 999) / 1000)))
    }

    /// The policy when it has changed since the last call (or `init`), else nil.
    ///
    /// Rules are followed even while a new index is being compiled. When somebody changed lists and left no index
    /// behind, a thread of low priority compiles it.
    ///
    /// - Throws: `BlocklistError`; the policy in force stays, and the next call tries again.
    public func poll() throws -> PolicySnapshot? {
        do {
            return try follow()
        } catch {
            // Profiles that did not come into force are made again.
            validity = 0..<0
            throw error
        }
    }

    private func follow() throws -> PolicySnapshot? {
        let now = BlocklistStore.now()
        retired.removeAll { now - $0.since > PolicyFollower.retirement || now < $0.since }
        hear(now)
        let version = try store.dataVersion()
        let mark = FileMark(store.indexPath)
        if version == dataVersion && mark == file && staleSince == nil {
            // Schedules, pauses and devices go on meanwhile.
            guard let members = members(now) else { return nil }
            retired.append((current, now))
            current = PolicySnapshot(index: current.index, overlay: current.overlay, members: members)
            return current
        }
        let (counters, inputs) = try store.read { db in
            groups = try GroupInputs(db)
            return (try BlocklistStore.counters(db), try Overlay.Inputs(db))
        }
        let members = members(now)
        var index = current.index
        if mark != file || counters.identity != index.header.identity {
            let image = try IndexImage(path: store.indexPath)
            if image.header != index.header { index = image }
        }
        followGeneration(counters, index)
        dataVersion = version
        file = mark
        guard index !== current.index || counters.rules != current.overlay.version || members != nil else {
            return nil
        }
        let overlay =
            counters.rules == current.overlay.version && index.header.seed == current.index.header.seed
            ? current.overlay : try Overlay(inputs, version: counters.rules, seed: index.header.seed)
        retired.append((current, now))
        current = PolicySnapshot(index: index, overlay: overlay, members: members ?? current.members)
        hastyUntil = 0
        return current
    }

    /// The profiles for now, when they are other ones than those in force.
    private func members(_ now: Int64) -> ProfileTable? {
        let isSame = groups == current.members.inputs && neighbours == known
        if isSame, validity.contains(now) { return nil }
        let (plan, until) = ProfilePlan.make(groups, neighbours, now: now)
        validity = now..<max(until, now + 1)
        known = neighbours
        guard plan != current.members.plan || groups != current.members.inputs else { return nil }
        return ProfileTable(plan, groups)
    }

    /// Takes what the kernel tells. The write-ahead log is written before a commit is seen, and closed by a command that
    /// ends after it.
    private func hear(_ now: Int64) {
        guard let events = watch?.drain() else { return }
        if !events.isDisjoint(with: [.written, .lost]) { hastyUntil = now + PolicyFollower.haste }
        if now > hastyUntil || now < hastyUntil - PolicyFollower.haste { hastyUntil = 0 }
        if !events.isDisjoint(with: [.made, .lost]) { listen() }
    }

    /// Watches the write-ahead log, which may be made anew, and the directory, where an index is put in its place.
    private func listen() {
        watch?.add(store.databasePath + "-wal", [.written, .closed])
        watch?.add(store.state, [.made, .renamed])
    }

    /// Has an index compiled when the one in force has been behind the lists for too long and nobody is at it.
    private func followGeneration(_ counters: BlocklistStore.Counters, _ index: IndexImage) {
        if index.header.generation == counters.generation && index.header.identity == counters.identity {
            staleSince = nil
            compiler.forget()
            return
        }
        let now = BlocklistStore.now()
        guard let since = staleSince else {
            staleSince = now
            return
        }
        // The new file is seen by a later call.
        if now - since >= PolicyFollower.patience || now < since { compiler.start() }
    }
}

/// What tells one version of a file from another.
private struct FileMark: Equatable {
    private var inode: UInt64 = 0
    private var size: Int64 = 0
    private var seconds: Int64 = 0
    private var nanoseconds: Int64 = 0

    init() {}

    /// The mark of a file, zeros when it is missing.
    init(_ path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return }
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        seconds = Int64(status.st_mtim.tv_sec)
        nanoseconds = Int64(status.st_mtim.tv_nsec)
    }
}

extension BlocklistStore {
    /// Changes whenever another connection commits.
    fileprivate func dataVersion() throws -> Int64 {
        try BlocklistStore.translate(databasePath) {
            try queue.inDatabase { db in try Int64.fetchOne(db, sql: "PRAGMA data_version") ?? 0 }
        }
    }
}
