internal import Wire

/// The writing side of flows: a row when a flow is judged, brought up to date when it is counted and when it ends. One
/// thread, inside a transaction of its connection.
final class FlowStore {
    private let connection: Connection
    private let names: Interner
    private let few: FewInterner
    private let insertRow: Statement
    private let updateRow: Statement
    /// The rows of flows that have not ended, by the engine's number.
    private var rows: [UInt64: Int64] = [:]

    /// Flows whose end is never told would fill the memory: above this many the older half is forgotten.
    private static let limit = 1 << 19

    init(_ connection: Connection, names: Interner, few: FewInterner) throws(QueryLogError) {
        self.connection = connection
        self.names = names
        self.few = few
        insertRow = try connection.prepare("INSERT INTO flow_log VALUES (?,?,?,?,?,?,?,?,?,?,?,?)")
        updateRow = try connection.prepare("UPDATE flow_log SET packets = ?2, bytes = ?3, duration = ?4 WHERE id = ?1")
    }

    /// Writes what a row tells.
    ///
    /// - Parameter id: for a new row.
    /// - Returns: whether there is a new row.
    func write(_ row: borrowing FlowRow, name: RawSpan, id: Int64) throws(QueryLogError) -> Bool {
        if row.event != .judged, let known = rows[row.flow] {
            updateRow.bind(1, known)
            bindCounters(row, updateRow, from: 2)
            try updateRow.run()
            if row.event == .ended { rows[row.flow] = nil }
            return false
        }
        try insert(row, name: name, id: id)
        if row.event != .ended { remember(row.flow, id) }
        return true
    }

    private func insert(_ row: borrowing FlowRow, name: RawSpan, id: Int64) throws(QueryLogError) {
        let nameID = name.byteCount == 0 ? nil : try names.name(name)
        insertRow.bind(1, id)
        insertRow.bind(2, try few.outcome(row))
        insertRow.bind(3, nameID)
        insertRow.bind(4, try few.source(row))
        insertRow.bind(5, try names.address(row.remote))
        insertRow.bind(6, row.time - Schema.timeBase)
        insertRow.bind(7, IPProtocol.hasPorts(row.proto) ? Int64(row.port) : nil)
        insertRow.bind(8, try rule(row, name: name, id: nameID))
        insertRow.bind(9, try few.process(row.owner))
        bindCounters(row, insertRow, from: 10)
        try insertRow.run()
    }

    private func rule(_ row: borrowing FlowRow, name: RawSpan, id: Int64?) throws(QueryLogError) -> Int64? {
        if let id, row.match != .none {
            return try names.rule(row.match, row.rule, labels: row.labels, qname: name, name: id)
        }
        // Matched by address or port: as written.
        guard row.rule >= 0, row.list >= 0 else { return nil }
        return try names.flowRule(list: row.list, rule: row.rule)
    }

    private func bindCounters(_ row: borrowing FlowRow, _ statement: borrowing Statement, from first: Int32) {
        statement.bind(first, Int64(clamping: row.packets))
        statement.bind(first + 1, Int64(clamping: row.bytes))
        statement.bind(first + 2, row.duration < 0 ? nil : row.duration)
    }

    private func remember(_ flow: UInt64, _ id: Int64) {
        rows[flow] = id
        guard rows.count > FlowStore.limit else { return }
        let middle = rows.keys.sorted()[rows.count / 2]
        rows = rows.filter { $0.key >= middle }
    }
}
