import GRDB
import Glibc
import Kernel

extension BlocklistStore {
    /// What a new list is to be.
    public struct ListOptions: Sendable {
        /// By default the file's name without its directory and extension.
        public var name: String?
        /// nil: guessed from the file.
        public var format: ListFormat?
        public var allow: Bool
        public var exact: Bool
        /// Take data of the list's own, such as real addresses in a hosts file, as local data.
        public var records: Bool
        /// When and how it is fetched again, of a list on the web.
        public var subscription: Subscription
        /// The groups it belongs to, by name; empty: `default`.
        public var groups: [String]

        public init(
            name: String? = nil, format: ListFormat? = nil, allow: Bool = false, exact: Bool = false,
            records: Bool = false, subscription: Subscription = Subscription(), groups: [String] = []
        ) {
            self.groups = groups
            self.name = name
            self.format = format
            self.allow = allow
            self.exact = exact
            self.records = records
            self.subscription = subscription
        }
    }

    /// All lists, by id.
    public func lists() throws -> [BlockList] {
        try read { db in try Row.fetchAll(db, sql: "SELECT * FROM list ORDER BY id").map(BlockList.init) }
    }

    /// A list by name, or by id.
    ///
    /// - Throws: `BlocklistError.noSuchList`.
    public func list(_ name: String) throws -> BlockList {
        try read { db in try BlocklistStore.list(db, name) }
    }

    static func list(_ db: Database, _ name: String) throws -> BlockList {
        let row =
            try Row.fetchOne(db, sql: "SELECT * FROM list WHERE name = ?", arguments: [name])
            ?? Row.fetchOne(db, sql: "SELECT * FROM list WHERE id = ?", arguments: [Int64(name)])
        guard let row else { throw BlocklistError.noSuchList(name) }
        return BlockList(row)
    }

    /// The first refused lines of a list.
    public func refusals(of list: Int32) throws -> [Refusal] {
        try read { db in
            try Row.fetchAll(
                db, sql: "SELECT line, text, reason FROM refusal WHERE list = ? ORDER BY rowid", arguments: [list]
            ).map { Refusal(line: $0["line"], text: $0["text"], reason: $0["reason"]) }
        }
    }

    /// Reads a file, or what is fetched from an address, into a new list. Nothing is kept when it is refused. Call
    /// `compile` afterwards.
    ///
    /// - Throws: `BlocklistError.listExists`, `.listRefused`.
    public func add(
        _ source: String, _ options: ListOptions = ListOptions(), fetcher: ListFetcher = ListFetcher(),
        progress: ProgressHandler = { _ in }
    ) throws -> ImportReport {
        let url = ListURL.looksLike(source) ? try ListURL(source) : nil
        let source = url?.text ?? BlocklistStore.absolute(source)
        let name = options.name ?? url?.title ?? BlocklistStore.title(source)
        guard !name.isEmpty, name.utf8.count <= 200, !name.unicodeScalars.contains(where: { $0.value < 0x20 }) else {
            throw BlocklistError.badArgument("'\(name)' cannot be a list's name")
        }
        try read { db in
            try BlocklistStore.checkFree(db, name)
            _ = try BlocklistStore.groupSet(db, options.groups)
        }
        let content = try content(of: source, known: nil, fetcher, progress)
        defer { content.discard() }
        return try write { db in
            try BlocklistStore.checkFree(db, name)
            try db.execute(
                sql:
                    """
                    INSERT INTO list (name, source, format, allow, exact, records, added, groups)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    name, source, options.format?.rawValue ?? "auto", options.allow, options.exact,
                    options.records, BlocklistStore.now(),
                    BlocklistStore.groups(db, options.groups, owner: RuleOwner()).stored,
                ])
            let list = try BlocklistStore.list(db, name)
            let report = try BlocklistStore.fill(db, list, from: content.path, progress: progress)
            if url != nil {
                try BlocklistStore.setSubscription(db, list.id, options.subscription)
                try BlocklistStore.noteSuccess(db, list.id, content.version)
            }
            return report
        }
    }

    private static func checkFree(_ db: Database, _ name: String) throws {
        let taken = try Bool.fetchOne(db, sql: "SELECT 1 FROM list WHERE name = ?", arguments: [name]) ?? false
        if taken { throw BlocklistError.listExists(name) }
    }

    /// What became of an update.
    public enum Update: Sendable, Equatable {
        case updated(ImportReport)
        /// The server has no other version than the one in force.
        case unchanged(BlockList)
    }

    /// Reads a list's file or address again. When that fails, the entries stay as they were, and the list keeps the
    /// reason. Call `compile` afterwards.
    ///
    /// - Parameters:
    ///   - force: fetch it even when the server says that it did not change.
    ///   - maxShrink: percent of its names that a fetched list may lose; by default what the list was added with.
    /// - Throws: `BlocklistError.listRefused`, `.noSuchList`.
    public func update(
        _ name: String, fetcher: ListFetcher = ListFetcher(), force: Bool = false, maxShrink: Int? = nil,
        progress: ProgressHandler = { _ in }
    ) throws -> Update {
        let list = try list(name)
        do {
            let known = force ? nil : try version(of: list.id)
            let content = try content(of: list.source, known: known, fetcher, progress)
            defer { content.discard() }
            return try write { db in
                // Another process may have changed or removed it meanwhile.
                let list = try BlocklistStore.list(db, "\(list.id)")
                guard !content.isUnchanged else {
                    try BlocklistStore.noteSuccess(db, list.id, nil)
                    return try .unchanged(BlocklistStore.list(db, "\(list.id)"))
                }
                try BlocklistStore.empty(db, list.id)
                let report = try BlocklistStore.fill(db, list, from: content.path, progress: progress)
                if content.isFetched {
                    try BlocklistStore.checkShrinking(list, to: report.entries, maxShrink: maxShrink)
                    try BlocklistStore.noteSuccess(db, list.id, content.version)
                }
                return .updated(report)
            }
        } catch let error as BlocklistError {
            guard case .listRefused(_, let reason) = error else { throw error }
            try write { try BlocklistStore.noteFailure($0, list.id, reason) }
            throw error
        }
    }

    /// Removes lists, all or none. Call `compile` afterwards.
    public func removeLists(_ names: [String]) throws {
        try write { db in
            for list in try names.map({ try BlocklistStore.list(db, $0) }) {
                try BlocklistStore.empty(db, list.id)
                try db.execute(sql: "DELETE FROM list WHERE id = ?", arguments: [list.id])
            }
            try BlocklistStore.nextGeneration(db)
        }
    }

    /// Puts lists in force or out of force, all or none. Call `compile` afterwards.
    public func setEnabled(_ names: [String], _ enabled: Bool) throws {
        try write { db in
            for list in try names.map({ try BlocklistStore.list(db, $0) }) where list.enabled != enabled {
                try db.execute(
                    sql: "UPDATE list SET enabled = ? WHERE id = ?", arguments: [enabled, list.id])
                try BlocklistStore.nextGeneration(db)
            }
        }
    }

    static func absolute(_ path: String) -> String {
        if let real = unsafe realpath(path, nil) {
            defer { unsafe free(real) }
            return unsafe String(cString: real)
        }
        return path
    }

    private static func title(_ path: String) -> String {
        let file = path.split(separator: "/").last.map(String.init) ?? ""
        return file.firstIndex(of: ".").flatMap { $0 == file.startIndex ? nil : String(file[..<$0]) } ?? file
    }
}

extension BlockList {
    init(_ row: Row) {
        self.init(
            id: row["id"], name: row["name"], source: row["source"], format: row["format"],
            detected: row["detected"], allow: row["allow"], exact: row["exact"],
            records: row["records"], enabled: row["enabled"],
            every: row["every"], maxShrink: row["shrink"], due: row["due"], lines: row["lines"],
            entries: row["entries"], skipped: row["skipped"], refused: row["refused"],
            added: row["added"], updated: row["updated"], checked: row["checked"], error: row["error"],
            groups: GroupSet(stored: row["groups"]))
    }
}
