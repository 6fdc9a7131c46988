import GRDB
import Glibc
import Synchronization

/// When and how a list on the web is fetched again.
public struct Subscription: Sendable, Equatable {
    /// Seconds from one fetching to the next; nil: only when asked to.
    public var every: Int64?
    /// Percent of its names that a list may lose from one fetching to the next; more looks like a broken download.
    public var maxShrink: Int

    public init(every: Int64? = 86_400, maxShrink: Int = 50) {
        self.every = every
        self.maxShrink = maxShrink
    }
}

extension BlocklistStore {
    /// The first seconds to wait after a failure; doubled for each that follows.
    private static let patience: Double = 60

    /// A list's bytes on the way into the database.
    struct Content {
        /// The file that holds them.
        var path: String
        /// Whether that is a download, to be removed afterwards.
        var isFetched: Bool
        var isUnchanged = false
        var version: ListFetcher.Version?

        func discard() {
            if isFetched { _ = unsafe unlink(path) }
        }
    }

    private static let downloads = Atomic<Int>(0)

    /// The file of a source, fetched when the source is an address.
    func content(
        of source: String, known: ListFetcher.Version?, _ fetcher: ListFetcher, _ progress: ProgressHandler
    ) throws(BlocklistError) -> Content {
        guard ListURL.looksLike(source) else { return Content(path: source, isFetched: false) }
        let url = try ListURL(source)
        let number = BlocklistStore.downloads.add(1, ordering: .relaxed).newValue
        let path = "\(state)/download-\(getpid())-\(number)"
        do {
            switch try fetcher.fetch(url, known: known, to: path, progress: progress) {
            case .unchanged: return Content(path: path, isFetched: true, isUnchanged: true)
            case .fetched(let version): return Content(path: path, isFetched: true, version: version)
            }
        } catch .listRefused(_, let reason) {
            throw .listRefused(source, reason)
        }
    }

    /// The version of a list that is in force, as its server calls it; nil when the server named none.
    func version(of list: Int32) throws -> ListFetcher.Version? {
        try read { db in
            guard
                let row = try Row.fetchOne(
                    db, sql: "SELECT etag, modified FROM list WHERE id = ? AND entries > 0", arguments: [list])
            else { return nil }
            let version = ListFetcher.Version(etag: row["etag"], modified: row["modified"])
            return version.etag == nil && version.modified == nil ? nil : version
        }
    }

    static func setSubscription(_ db: Database, _ list: Int32, _ subscription: Subscription) throws {
        try db.execute(
            sql: "UPDATE list SET every = ?, shrink = ? WHERE id = ?",
            arguments: [subscription.every, subscription.maxShrink, list])
    }

    /// - Throws: `BlocklistError.listRefused` when too many names are gone.
    static func checkShrinking(_ list: BlockList, to entries: Int, maxShrink: Int?) throws {
        let allowed = maxShrink ?? list.maxShrink
        guard list.entries > 0, (list.entries - entries) * 100 > list.entries * allowed else { return }
        throw BlocklistError.listRefused(
            list.source,
            "shrank from \(list.entries) names to \(entries), by more than \(allowed) %; "
                + "if that is right: webtun list update --max-shrink 100% \(list.name)")
    }

    /// - Parameter version: of what was fetched; nil when nothing had changed.
    static func noteSuccess(_ db: Database, _ list: Int32, _ version: ListFetcher.Version?) throws {
        if let version {
            try db.execute(
                sql: "UPDATE list SET etag = ?, modified = ? WHERE id = ?",
                arguments: [version.etag, version.modified, list])
        }
        let every = try Int64.fetchOne(db, sql: "SELECT every FROM list WHERE id = ?", arguments: [list])
        // Not all machines that subscribed at one moment at once.
        let due = every.map { now() + Int64(Double($0) * 1_000_000 * Double.random(in: 0.95...1.05)) }
        try db.execute(
            sql: "UPDATE list SET checked = ?, error = NULL, failures = 0, due = ? WHERE id = ?",
            arguments: [now(), due, list])
    }

    /// Keeps the reason and tries again soon, then ever later, with a chance of its own.
    static func noteFailure(_ db: Database, _ list: Int32, _ reason: String) throws {
        guard
            let row = try Row.fetchOne(db, sql: "SELECT every, failures FROM list WHERE id = ?", arguments: [list])
        else { return }
        let every: Int64? = row["every"]
        let failures: Int = row["failures"]
        let due = every.map { every in
            let seconds = min(Double(every), patience * Double(1 << min(failures, 20)))
            return now() + Int64(seconds * 1_000_000 * Double.random(in: 0.5...1.5))
        }
        try db.execute(
            sql: "UPDATE list SET checked = ?, error = ?, failures = failures + 1, due = ? WHERE id = ?",
            arguments: [now(), reason, due, list])
    }

    /// Whether a list is to be fetched. One that would wait longer than any list is told to was given its time by a clock
    /// that has been set back since.
    static func isDue(_ list: BlockList, _ now: Int64) -> Bool {
        guard let due = list.due else { return false }
        guard due > now else { return true }
        return list.every.map { due - now > $0 * 1_500_000 + 1_000_000 } ?? false
    }

    /// Fetches the lists that are due and makes the index anew when one of them changed.
    ///
    /// - Parameter told: called with each list and what became of it.
    public func updateDueLists(
        fetcher: ListFetcher, told: (_ list: BlockList, _ result: Result<Update, any Error>) -> Void
    ) throws {
        let now = BlocklistStore.now()
        let due = try lists().filter { BlocklistStore.isDue($0, now) }
        var isChanged = false
        for list in due {
            let result = Result { try update("\(list.id)", fetcher: fetcher) }
            if case .success(.updated) = result { isChanged = true }
            told(list, result)
        }
        if isChanged { try compile() }
    }
}
