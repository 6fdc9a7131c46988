import Foundation
import GRDB
import Glibc

/// What an import of an export did.
public struct RestoreReport: Sendable, Equatable {
    public struct Table: Sendable, Equatable {
        public var name: String
        /// Rows of the file that are here now, and those that were left out because there is such a one already.
        public var added = 0
        public var kept = 0
    }

    public var path: String
    public var tables: [Table] = []

    mutating func count(_ name: String, added: Bool) {
        let index =
            tables.firstIndex { $0.name == name }
            ?? {
                tables.append(Table(name: name))
                return tables.count - 1
            }()
        if added { tables[index].added += 1 } else { tables[index].kept += 1 }
    }
}

extension BlocklistStore {
    /// How an import meets what is there.
    public enum RestoreMode: Sendable {
        /// Refused when there is anything of the user's.
        case intoEmpty
        /// What the file has and is not there yet is added; what is there stays as it is.
        case merge
        /// What the file has takes the place of what is there.
        case replace
    }

    /// Takes in an export, all of it or nothing. Call `compile` afterwards.
    ///
    /// - Parameter dryRun: does everything and takes it back.
    /// - Throws: `BlocklistError.listRefused` with place and reason for a file that is of another kind or version, cut,
    ///   damaged or changed; `.badArgument` when there is something and the mode says nothing of it.
    public func restore(
        from path: String, _ mode: RestoreMode, dryRun: Bool = false, progress: ProgressHandler = { _ in }
    ) throws -> RestoreReport {
        let reader = try ExportReader(path)
        return try write { db in
            var report = RestoreReport(path: path)
            if mode == .intoEmpty, let what = try BlocklistStore.whatIsThere(db) {
                throw BlocklistError.badArgument(
                    "there are \(what) here already: --merge adds what is missing, --replace puts the file in their place"
                )
            }
            try db.inSavepoint {
                if mode != .merge {
                    try db.execute(sql: "PRAGMA defer_foreign_keys = ON; DELETE FROM rule_change")
                    try BlocklistStore.take(db, reader, RestoreReplacing(db), &report, progress)
                } else {
                    try BlocklistStore.journaled(db) { db in
                        try BlocklistStore.take(db, reader, RestoreMerging(db), &report, progress)
                    }
                }
                try BlocklistStore.checkRestored(db, reader)
                try db.execute(sql: "UPDATE state SET generation = generation + 1, rules = rules + 1")
                return dryRun ? .rollback : .commit
            }
            return report
        }
    }

    /// What a user made here, in words; nil: nothing.
    static func whatIsThere(_ db: Database) throws -> String? {
        var parts: [String] = []
        for table in try ExportTable.all(db) {
            let passed = ExportTable.owned[table.name] != nil || ExportTable.whole.contains(table.name)
            guard !passed, table.name != "starter" else { continue }
            let condition = ExportTable.own[table.name].map { " WHERE \($0)" } ?? ""
            let count = try Int.fetchOne(db, sql: "SELECT count(*) FROM \"\(table.name)\"\(condition)") ?? 0
            if count > 0 { parts.append("\(count) of '\(table.name)'") }
        }
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }

    private static func take(
        _ db: Database, _ reader: ExportReader, _ taker: some RestoreTaker, _ report: inout RestoreReport,
        _ progress: ProgressHandler
    ) throws {
        let tables = try ExportTable.all(db)
        var values: [RowValue] = []
        var done = 0
        while let section = try reader.nextSection() {
            guard let table = tables.first(where: { $0.name == section.table }) else {
                throw reader.lines.refused("there is no table '\(section.table)'")
            }
            if let unknown = section.columns.first(where: { !table.columns.contains($0) }) {
                throw reader.lines.refused("table '\(section.table)' has no column '\(unknown)'")
            }
            try taker.begin(table, section.columns)
            for _ in 0..<section.rows {
                try reader.nextRow(of: section, into: &values)
                if table.name == "entry" { try reader.checkEntry(section.columns, values) }
                do {
                    report.count(table.name, added: try taker.take(values))
                } catch let error as BlocklistError {
                    guard case .database(_, let reason) = error else { throw error }
                    throw reader.lines.refused("the row cannot be taken into '\(table.name)': \(reason)")
                }
                done += 1
                if done & 0xFFF == 0 {
                    progress(WorkProgress(phase: .copying, done: Int64(done), total: Int64(reader.header.rows)))
                }
            }
        }
    }

    private static func checkRestored(_ db: Database, _ reader: ExportReader) throws {
        if let row = try Row.fetchOne(db, sql: "PRAGMA foreign_key_check") {
            let (table, parent): (String, String) = (row["table"], row["parent"])
            throw BlocklistError.listRefused(
                reader.path, "a row of '\(table)' refers to one of '\(parent)' that is not there")
        }
        let wrong = try Row.fetchOne(
            db,
            sql: """
                SELECT name, entries, (SELECT count(*) FROM entry WHERE entry.id BETWEEN list.id << 42
                    AND ((list.id + 1) << 42) - 1) AS there FROM list WHERE entries <> there
                """)
        if let wrong {
            let (name, entries, there): (String, Int, Int) = (wrong["name"], wrong["entries"], wrong["there"])
            throw BlocklistError.listRefused(
                reader.path, "list '\(name)' is said to have \(entries) names and has \(there)")
        }
    }
}

/// An export file, read from front to end.
final class ExportReader {
    struct Header: Decodable {
        var version: Int
        var schema: [String]
        var rows: Int

        enum CodingKeys: String, CodingKey {
            case version = "webtun-export"
            case schema, rows
        }
    }

    struct Section: Decodable {
        var table: String
        var rows: Int
        var columns: [String]
    }

    private struct End: Decodable {
        var end: Bool
        var rows: Int
        var sha256: String
    }

    let path: String
    let lines: PackedReader
    let header: Header
    private var rows = 0

    /// Reads the first line.
    init(_ path: String) throws(BlocklistError) {
        self.path = path
        lines = try PackedReader(path: path)
        guard try lines.next(), lines.line.starts(with: ExportFormat.mark.utf8) else {
            throw .listRefused(path, "not a file that 'webtun export' wrote")
        }
        // The version comes first, so that it can be told whatever follows it.
        let digits = lines.line.dropFirst(ExportFormat.mark.utf8.count).prefix { (0x30...0x39).contains($0) }
        guard let version = Int(String(decoding: digits, as: UTF8.self)) else {
            throw lines.refused("no version of the format")
        }
        guard version == ExportFormat.version else {
            throw .listRefused(
                path, "written in version \(version) of the format; this webtun reads version \(ExportFormat.version)")
        }
        header = try ExportReader.decode(lines)
        if let step = header.schema.first(where: { !Schema.migrator.migrations.contains($0) }) {
            throw .listRefused(path, "written by a newer webtun (its step '\(step)' is unknown here)")
        }
    }

    /// The next table, or nil when the last line has come and all is as it says.
    func nextSection() throws(BlocklistError) -> Section? {
        guard try lines.next() else { throw .listRefused(path, "the file ends without its last line") }
        guard lines.line.starts(with: "{\"end\":".utf8) else { return try ExportReader.decode(lines) }
        let end: End = try ExportReader.decode(lines)
        guard end.sha256 == lines.digestText else {
            throw .listRefused(path, "the checksum (SHA-256) does not fit: the file was changed or damaged")
        }
        guard end.rows == rows, end.rows == header.rows else {
            throw lines.refused("\(end.rows) rows, but there are \(rows)")
        }
        if try lines.next() { throw lines.refused("more behind the end") }
        return nil
    }

    func nextRow(of section: Section, into values: inout [RowValue]) throws(BlocklistError) {
        guard try lines.next() else { throw .listRefused(path, "the file ends within table '\(section.table)'") }
        do {
            try RowText.parse(lines.line, into: &values)
        } catch {
            throw lines.refused("table '\(section.table)': \(error.reason)", column: error.column)
        }
        guard values.count == section.columns.count else {
            throw lines.refused("table '\(section.table)': \(values.count) values for \(section.columns.count) columns")
        }
        rows += 1
    }

    /// The names of lists go into the index as they are.
    func checkEntry(_ columns: [String], _ values: [RowValue]) throws(BlocklistError) {
        guard let name = columns.firstIndex(of: "name"), let kind = columns.firstIndex(of: "kind"),
            case .text(let bytes) = values[name], case .integer(let raw) = values[kind]
        else { throw lines.refused("an entry without name or kind") }
        let isName = raw & (Int64(EntryKind.address.rawValue) | 64) == 0
        guard
            !isName
                || !bytes.isEmpty && bytes.count <= NameBytes.longest && bytes.allSatisfy({ NameBytes.symbol($0) != 0 })
        else { throw lines.refused("'\(String(decoding: bytes, as: UTF8.self))' is no name") }
    }

    private static func decode<T: Decodable>(_ lines: PackedReader) throws(BlocklistError) -> T {
        do {
            return try JSONDecoder().decode(T.self, from: Data(lines.line))
        } catch {
            throw lines.refused("not what an export has here")
        }
    }
}
