import GRDB

/// The entries that `$badfilter` takes back: those that are the same but for it, in whatever list in force.
struct TakenBack {
    private static let option = "badfilter"
    private var entries: Set<Entry> = []
    /// Whether no list in force has such an option: then no entry need be asked about.
    private(set) var isEmpty = true

    private struct Entry: Hashable {
        var kind: UInt8
        var name: String
        var options: String
    }

    init(_ db: Database) throws {
        let lists = try Int64.fetchAll(
            db, sql: "SELECT id FROM list WHERE enabled AND kinds & ?", arguments: [EntryWriter.withOptions])
        for list in lists {
            let range = EntryID.range(of: list)
            let rows = try Row.fetchCursor(
                db,
                sql: """
                    SELECT kind, name, options FROM entry WHERE id BETWEEN ? AND ? AND options >= 'badfilter'
                        AND options < 'badfilteraa'
                    """, arguments: [range.lowerBound, range.upperBound])
            while let row = try rows.next() {
                let options: String = row["options"]
                guard let rest = TakenBack.rest(options) else { continue }
                var kind = EntryKind(rawValue: row["kind"])
                if rest.isEmpty { kind.remove(.hasOptions) }
                entries.insert(Entry(kind: kind.rawValue, name: row["name"], options: rest))
                isEmpty = false
            }
        }
    }

    /// The options without `badfilter`; nil when they do not begin with it.
    private static func rest(_ options: String) -> String? {
        if options == option { return "" }
        return options.hasPrefix(option + " ") ? String(options.dropFirst(option.count + 1)) : nil
    }

    /// Whether an entry does not count: it is taken back, or takes another back itself.
    func contains(_ kind: EntryKind, _ name: UnsafeRawBufferPointer, _ options: String) -> Bool {
        if TakenBack.rest(options) != nil { return true }
        let text = unsafe String(decoding: name, as: UTF8.self)
        return entries.contains(Entry(kind: kind.rawValue, name: text, options: options))
    }
}
