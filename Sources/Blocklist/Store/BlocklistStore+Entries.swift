import GRDB

/// From the bytes of a list to rows of `entry`.
extension BlocklistStore {
    /// Removes a list's entries.
    static func empty(_ db: Database, _ list: Int32) throws {
        let range = EntryID.range(of: Int64(list))
        try db.execute(
            sql: "DELETE FROM entry WHERE id BETWEEN ? AND ?", arguments: [range.lowerBound, range.upperBound])
    }

    /// Writes the entries of a list that has none, and what was found into its row.
    static func fill(
        _ db: Database, _ list: BlockList, from path: String, progress: ProgressHandler
    ) throws -> ImportReport {
        var reader = try LineReader(path: path, called: list.source)
        let format = try reader.withHead { head throws(BlocklistError) in
            try FormatDetector.check(head, path: list.source)
            if let format = ListFormat(rawValue: list.format) { return format }
            return try FormatDetector.detect(head, path: list.source)
        }
        if format == .ip && list.exact {
            throw BlocklistError.listRefused(list.source, "addresses; 'exact' is for names")
        }
        let (report, affixes, kinds) =
            switch format {
            case .hosts: try copy(db, list, format, &reader, HostsParser(), progress)
            case .domains: try copy(db, list, format, &reader, DomainsParser(), progress)
            case .adblock: try copy(db, list, format, &reader, AdblockParser(), progress)
            case .dnsmasq: try copy(db, list, format, &reader, DnsmasqParser(), progress)
            case .unbound: try copy(db, list, format, &reader, UnboundParser(), progress)
            case .rpz: try copy(db, list, format, &reader, RPZParser(), progress)
            case .ip: try copy(db, list, format, &reader, AddressParser(), progress)
            }
        guard report.entries > 0 else {
            let first = report.refusals.first
            throw BlocklistError.listRefused(
                list.source,
                first.map { "no line can be taken (\(report.refused) refused); line \($0.line): \($0.reason)" }
                    ?? "holds nothing")
        }
        try db.execute(
            sql: """
                UPDATE list SET detected = ?, prefix = ?, suffix = ?, kinds = ?, lines = ?, entries = ?, skipped = ?, refused = ?,
                    updated = ?, checked = ?, error = NULL WHERE id = ?
                """,
            arguments: [
                format.rawValue, String(decoding: affixes.prefix, as: UTF8.self),
                String(decoding: affixes.suffix, as: UTF8.self), kinds, report.lines, report.entries,
                report.skipped, report.refused, now(), now(), list.id,
            ])
        try db.execute(sql: "DELETE FROM refusal WHERE list = ?", arguments: [list.id])
        for refusal in report.refusals {
            try db.execute(
                sql: "INSERT INTO refusal (list, line, text, reason) VALUES (?, ?, ?, ?)",
                arguments: [list.id, refusal.line, refusal.text, refusal.reason])
        }
        try nextGeneration(db)
        return report
    }

    private static func copy(
        _ db: Database, _ list: BlockList, _ format: ListFormat, _ reader: inout LineReader,
        _ parser: consuming some LineParser, _ progress: ProgressHandler
    ) throws(BlocklistError) -> (ImportReport, (prefix: [UInt8], suffix: [UInt8]), Int) {
        var writer = try EntryWriter(db, list, format: format)
        let size = Int64(reader.size)
        try reader.forEachLine { number, line, cut, read throws(BlocklistError) in
            try writer.take(number, line, cut: cut, &parser)
            if number & 0xFFFF == 0 { progress(WorkProgress(phase: .reading, done: Int64(read), total: size)) }
        }
        try writer.finish(&parser)
        return (writer.report, writer.affixes ?? ([], []), writer.kinds)
    }
}
