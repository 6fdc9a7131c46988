import Foundation
import GRDB
public import Wire

/// A local record as `blocklist.db` has it.
public struct StoredRecord: Sendable, Equatable {
    public var id: Int32
    /// In stored form; `*.` in front of one for every name below.
    public var name: String
    public var record: LocalRecord
    public var comment: String
    /// Microseconds since 1970, UTC.
    public var added: Int64
}

extension BlocklistStore {
    /// A record to be made.
    public struct RecordRequest: Sendable {
        /// As people write it; `*.` in front of one for every name below.
        public var name: String
        public var record: LocalRecord
        public var comment: String

        public init(_ name: String, _ record: LocalRecord, comment: String = "") {
            self.name = name
            self.record = record
            self.comment = comment
        }
    }

    /// All local records, by name and type.
    public func records() throws -> [StoredRecord] {
        try read(BlocklistStore.records)
    }

    static func records(_ db: Database) throws -> [StoredRecord] {
        try Row.fetchAll(db, sql: "SELECT * FROM record ORDER BY name, type, id").map { row in
            let type: Int = row["type"]
            let ttl: Int64 = row["ttl"]
            let data: [UInt8] = Array(row["data"] as Data)
            return StoredRecord(
                id: row["id"], name: row["name"],
                record: LocalRecord(
                    type: RecordType(UInt16(clamping: type)), ttl: UInt32(clamping: ttl), data: data,
                    text: row["text"]),
                comment: row["comment"], added: row["added"])
        }
    }

    /// The stored form of the owner of a record.
    static func recordName(_ text: String) throws(BlocklistError) -> String {
        text.hasPrefix("*.") ? "*." + (try DomainName(String(text.dropFirst(2))).text) : try DomainName(text).text
    }

    /// Makes records, all or none. One that exists with the same name, type and data gets the TTL and comment given.
    ///
    /// - Throws: `BlocklistError.badName`; `.badRecord` for a CNAME beside other records of its name (RFC 1034
    ///   section 3.6.2); `.badArgument` when the records of a name get too many.
    public func addRecords(_ requests: [RecordRequest]) throws -> [StoredRecord] {
        let names = try requests.map { try BlocklistStore.recordName($0.name) }
        return try write { db in
            for (request, name) in zip(requests, names) {
                try db.execute(
                    sql: """
                        INSERT INTO record (name, type, ttl, data, text, comment, added) VALUES (?, ?, ?, ?, ?, ?, ?)
                        ON CONFLICT (name, type, data) DO UPDATE SET
                            ttl = excluded.ttl, comment = excluded.comment, added = excluded.added
                        """,
                    arguments: [
                        name, Int(request.record.type.code), Int64(request.record.ttl), Data(request.record.data),
                        request.record.text, request.comment, BlocklistStore.now(),
                    ])
            }
            let all = try BlocklistStore.records(db)
            for name in Set(names) { try BlocklistStore.check(name, all.filter { $0.name == name }.map(\.record)) }
            return zip(requests, names).compactMap { request, name in
                all.first {
                    $0.name == name && $0.record.type == request.record.type && $0.record.data == request.record.data
                }
            }
        }
    }

    /// Whether the records of one name can stand together.
    private static func check(_ name: String, _ records: [LocalRecord]) throws(BlocklistError) {
        if records.count > 1, let alias = records.first(where: { $0.type == .cname }) {
            let other = records.first { $0 != alias }
            throw .badRecord(
                "\(name) CNAME \(alias.text)",
                "a CNAME stands alone, and there would be '\(other?.type ?? .cname) \(other?.text ?? "")' as well")
        }
        var set = RecordSet()
        for record in records { try set.append(record) }
    }

    /// Removes records: all of a name, those of a type, or one.
    ///
    /// - Parameters:
    ///   - data: as written or as `record ls` shows it; nil: whatever it is.
    /// - Returns: the records removed.
    /// - Throws: `BlocklistError.noSuchRecord`.
    public func removeRecords(_ name: String, type: RecordType? = nil, data: String? = nil) throws -> [StoredRecord] {
        let wanted = try BlocklistStore.recordName(name)
        let wire = try type.flatMap { type in
            try data.map { try RecordText.parse(type: "\(type)", data: $0, ttl: 0).data }
        }
        return try write { db in
            let found = try BlocklistStore.records(db).filter { row in
                row.name == wanted && (type == nil || row.record.type == type)
                    && (wire == nil || row.record.data == wire)
            }
            guard !found.isEmpty else {
                let words = [wanted, type?.description, data].compactMap { $0 }
                throw BlocklistError.noSuchRecord(words.joined(separator: " "))
            }
            for row in found { try db.execute(sql: "DELETE FROM record WHERE id = ?", arguments: [row.id]) }
            return found
        }
    }
}
