import GRDB
import GRDBSQLite

/// Writes the names or addresses of a list into table `entry`, line by line, through one prepared statement of the connection of a
/// running transaction.
@safe
struct EntryWriter: LineSink, ~Copyable {
    /// Refused lines that are kept with their text.
    static let refusalsKept = 100
    /// Bits of `kinds` for lists with entries that have options, and with patterns.
    static let withOptions = 1 << 32
    static let withPatterns = 1 << 33

    private let database: OpaquePointer
    private let statement: OpaquePointer
    private let list: Int64
    private let kind: EntryKind
    let takesRecords: Bool
    private var patterns = PatternBudget()
    /// Options that differ, of which each is a class of the index.
    private var seen: Set<String> = []
    private static let mostOptions = 65_536
    private(set) var report: ImportReport
    /// What stands before and behind the name in the first line taken.
    private(set) var affixes: (prefix: [UInt8], suffix: [UInt8])?
    /// A bit for each kind of entry written, options and patterns aside; `EntryWriter.withOptions` and `withPatterns`.
    private(set) var kinds = 0
    private var number = 0
    private var names = 0
    private var line: [UInt8] = []
    private var failure: CInt = SQLITE_OK

    init(_ db: Database, _ list: BlockList, format: ListFormat) throws(BlocklistError) {
        guard let connection = unsafe db.sqliteConnection else { throw .database(list.source, "connection closed") }
        var statement: OpaquePointer?
        let code = unsafe sqlite3_prepare_v2(
            connection, "INSERT INTO entry (id, kind, name, text, options) VALUES (?, ?, ?, ?, ?)", -1, &statement, nil)
        guard code == SQLITE_OK, let statement = unsafe statement else {
            throw unsafe .database("blocklist.db", String(cString: sqlite3_errmsg(connection)))
        }
        unsafe database = connection
        unsafe self.statement = unsafe statement
        self.list = Int64(list.id)
        kind = (list.allow ? EntryKind.allow : []).union(list.exact ? .exact : [])
        takesRecords = list.records
        report = ImportReport(list: list.id, name: list.name, source: list.source, format: format)
    }

    deinit {
        unsafe sqlite3_finalize(statement)
    }

    /// Takes one line through a parser.
    mutating func take(
        _ number: Int, _ line: Span<UInt8>, cut: Bool, _ parser: inout some LineParser
    ) throws(BlocklistError) {
        self.number = number
        report.lines = number
        names = 0
        // The line is at hand for `entry` and `refuse`, which need its text.
        self.line.removeAll(keepingCapacity: true)
        for index in line.indices { self.line.append(line[index]) }
        if cut {
            refuse(.tooLong)
        } else if line.contains(0) {
            refuse(.nul)
        } else if !line.isEmpty {
            parser.parse(line, into: &self)
        }
        try check()
    }

    /// Behind the last line.
    mutating func finish(_ parser: inout some LineParser) throws(BlocklistError) {
        names = 0
        parser.finish(into: &self)
        try check()
    }

    private func check() throws(BlocklistError) {
        guard failure == SQLITE_OK else {
            throw unsafe .database("blocklist.db", String(cString: sqlite3_errmsg(database)))
        }
    }

    mutating func entry(_ name: borrowing NameText, _ kind: EntryKind, _ options: String?) {
        write(name.span, kind, options)
    }

    mutating func pattern(_ text: String, _ kind: EntryKind, _ options: String?) {
        if let problem = patterns.take(text) { return refuse(.pattern(problem)) }
        let bytes = Array(text.utf8)
        write(bytes.span, kind.union(.pattern), options)
    }

    mutating func address(_ prefix: IPPrefix, _ kind: EntryKind) {
        let text = Array(prefix.description.utf8)
        write(text.span, kind.union(.address), nil)
    }

    private mutating func write(_ name: Span<UInt8>, _ own: EntryKind, _ options: String?) {
        guard names < EntryID.namesPerLine else { return refuse(.tooManyNames) }
        if let options, !seen.contains(options) {
            guard seen.count < EntryWriter.mostOptions else {
                return refuse(.option("more than \(EntryWriter.mostOptions) different options or records in the list"))
            }
            seen.insert(options)
        }
        let id = EntryID(list: list, line: number, name: names).raw
        names += 1
        report.entries += 1
        let written = names == 1 && !derivable(name) ? asWritten() : nil
        unsafe sqlite3_bind_int64(statement, 1, id)
        // Exceptions of an allow list block; what is below a name stays so in an exact list.
        var kind = own.symmetricDifference(self.kind.intersection(.allow))
        if self.kind.contains(.exact), own.isDisjoint(with: [.below, .pattern, .address]) { kind.insert(.exact) }
        kinds |= 1 << Int(kind.rawValue & (EntryKind.count - 1))
        if kind.contains(.pattern) { kinds |= EntryWriter.withPatterns }
        if options != nil {
            kind.insert(.hasOptions)
            kinds |= EntryWriter.withOptions
        }
        unsafe sqlite3_bind_int(statement, 2, CInt(kind.rawValue))
        // The pointers are good until the step below, which is all SQLite needs.
        unsafe name.withUnsafeBufferPointer { bytes in
            let text = unsafe UnsafeRawPointer(bytes.baseAddress!).assumingMemoryBound(to: CChar.self)
            unsafe sqlite3_bind_text(statement, 3, text, CInt(bytes.count), nil)
            if let written {
                unsafe sqlite3_bind_text(statement, 4, written, -1, EntryWriter.copied)
            } else {
                unsafe sqlite3_bind_null(statement, 4)
            }
            if let options {
                unsafe sqlite3_bind_text(statement, 5, options, -1, EntryWriter.copied)
            } else {
                unsafe sqlite3_bind_null(statement, 5)
            }
            let code = unsafe sqlite3_step(statement)
            if code != SQLITE_DONE { failure = code }
            unsafe sqlite3_reset(statement)
        }
    }

    mutating func skip() {
        report.skipped += 1
    }

    mutating func refuse(_ problem: LineProblem) {
        report.refused += 1
        guard report.refusals.count < EntryWriter.refusalsKept else { return }
        report.refusals.append(Refusal(line: number, text: asWritten(comment: true), reason: "\(problem)"))
    }

    /// Whether the line is the list's prefix, the name and the list's suffix, and nothing more. The first line that holds
    /// its name decides on both.
    private mutating func derivable(_ name: Span<UInt8>) -> Bool {
        guard let affixes else {
            guard let start = place(of: name), !line[(start + name.count)...].contains(UInt8(ascii: "#")) else {
                return false
            }
            affixes = (Array(line[..<start]), Array(line[(start + name.count)...]))
            return true
        }
        let (prefix, suffix) = affixes
        return line.count == prefix.count + name.count + suffix.count && holds(name, at: prefix.count)
            && line.starts(with: prefix) && line[(prefix.count + name.count)...].elementsEqual(suffix)
    }

    /// Where the name stands in the line, letter for letter.
    private func place(of name: Span<UInt8>) -> Int? {
        guard line.count >= name.count else { return nil }
        for start in 0...line.count - name.count where holds(name, at: start) { return start }
        return nil
    }

    private func holds(_ name: Span<UInt8>, at start: Int) -> Bool {
        for index in name.indices where line[start + index] != name[index] { return false }
        return true
    }

    /// The line without blanks around it and (unless asked for) without its comment, for people.
    private func asWritten(comment: Bool = false) -> String {
        var bytes = line[...]
        if !comment, let hash = bytes.firstIndex(of: UInt8(ascii: "#")) { bytes = bytes[..<hash] }
        while let last = bytes.last, Words.blank(last) { bytes = bytes.dropLast() }
        while let first = bytes.first, Words.blank(first) { bytes = bytes.dropFirst() }
        let text = String(decoding: bytes.prefix(comment ? 200 : 1000), as: UTF8.self)
        return String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "�" : $0 }))
    }

    /// Tells SQLite to copy the text (SQLITE_TRANSIENT).
    private static var copied: sqlite3_destructor_type {
        unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    }
}
