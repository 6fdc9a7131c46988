/// Removes names and answers that no row refers to any more, in short steps. One thread.
///
/// The writer notes with each name the epoch (a run of row ids) of its last use, so what only older rows used is known
/// without looking at rows. Where blocked rows outlive their neighbours, those that are left are read first. A sweep that is
/// told to be `thorough` trusts no epoch and reads all rows, also those that come in meanwhile.
final class NameSweep {
    private let connection: Connection
    private let epochRows: Int64
    private let isThorough: Bool
    /// Names and answers below this epoch are gone.
    private var sweptEpoch: Int64 = 0
    private var stage = Stage.idle
    private var epoch: Int64 = 0
    /// Rows with ids below were read; to be read are those below `end`.
    private var marked: Int64 = 0
    private var end: Int64 = 0
    private var names = IDSet()
    private var answers = IDSet()
    private var sources = IDSet()
    private var processes = IDSet()

    private enum Stage {
        case idle, marking
        /// Where it stands, in ids of names and answers.
        case sweeping(Int64)
    }

    /// Rows, names or answers looked at in one step.
    private static let stepRows: Int64 = 4096

    init(_ connection: Connection, epochRows: Int64 = RowStore.epochRows, isThorough: Bool = false) {
        self.connection = connection
        self.epochRows = epochRows
        self.isThorough = isThorough
    }

    /// Does one step. Returns whether there is more to do.
    func step() throws(QueryLogError) -> Bool {
        switch stage {
        case .idle: return try begin()
        case .marking:
            if marked < end {
                try mark(upTo: min(end, marked + NameSweep.stepRows * 4))
            } else {
                stage = .sweeping(0)
            }
            return true
        case .sweeping(let from): return try sweep(from)
        }
    }

    /// Share of the rows that were read, for a progress bar: so many of so many.
    var progress: (done: Int64, total: Int64) { (marked, end) }

    private func begin() throws(QueryLogError) -> Bool {
        names = IDSet()
        answers = IDSet()
        sources = IDSet()
        processes = IDSet()
        let first = try connection.integer("SELECT min(first) FROM query_spans") ?? 0
        let afterLast = (try connection.integer("SELECT max(last) FROM query_spans") ?? -1) + 1
        if isThorough {
            epoch = .max
            end = afterLast
        } else {
            end = try connection.integer("SELECT min(first) FROM query_spans WHERE thinned IS NULL") ?? afterLast
            epoch = end / epochRows
            guard epoch > sweptEpoch else { return false }
        }
        marked = first
        stage = .marking
        return true
    }

    /// Notes what the rows up to `end` refer to.
    private func mark(upTo end: Int64) throws(QueryLogError) {
        let queries = try connection.prepare(
            "SELECT name, rule, answer, source, process FROM query_log WHERE id >= ? AND id < ?")
        let flows = try connection.prepare(
            "SELECT name, rule, remote, source, process FROM flow_log WHERE id >= ? AND id < ?")
        try note(queries, end)
        try note(flows, end)
        marked = max(marked, end)
    }

    private func note(_ rows: borrowing Statement, _ end: Int64) throws(QueryLogError) {
        rows.bind(1, marked)
        rows.bind(2, end)
        while try rows.step() {
            names.insert(rows.integer(0))
            names.insert(rows.integer(1))
            answers.insert(rows.integer(2))
            sources.insert(rows.integer(3))
            processes.insert(rows.integer(4))
        }
    }

    private func sweep(_ from: Int64) throws(QueryLogError) -> Bool {
        let last =
            try connection.integer(
                "SELECT max(coalesce((SELECT max(id) FROM names), 0), coalesce((SELECT max(id) FROM answers), 0))") ?? 0
        let upTo = from + NameSweep.stepRows - 1
        try connection.transaction { () throws(QueryLogError) in
            if isThorough {
                let ends =
                    "max(coalesce((SELECT max(id) FROM query_log), 0), coalesce((SELECT max(id) FROM flow_log), 0))"
                try mark(upTo: (try connection.integer("SELECT \(ends)") ?? 0) + 1)
            }
            try remove("names", from, upTo, keeping: names)
            try remove("answers", from, upTo, keeping: answers)
            if isThorough, from > last {
                try remove("sources", 0, .max, keeping: sources, hasEpochs: false)
                try remove("processes", 0, .max, keeping: processes, hasEpochs: false)
            }
        }
        if from <= last {
            stage = .sweeping(upTo + 1)
            return true
        }
        stage = .idle
        sweptEpoch = epoch
        return false
    }

    private func remove(
        _ table: String, _ from: Int64, _ upTo: Int64, keeping kept: IDSet, hasEpochs: Bool = true
    ) throws(QueryLogError) {
        let condition = "id BETWEEN \(from) AND \(upTo)" + (hasEpochs ? " AND seen < \(epoch)" : "")
        guard !kept.isEmpty else { return try connection.execute("DELETE FROM \(table) WHERE \(condition)") }
        let find = try connection.prepare("SELECT id FROM \(table) WHERE \(condition)")
        var unused: [Int64] = []
        while try find.step() {
            if !kept.contains(find.integer(0)) { unused.append(find.integer(0)) }
        }
        find.reset()
        let remove = try connection.prepare("DELETE FROM \(table) WHERE id = ?")
        for id in unused {
            remove.bind(1, id)
            try remove.run()
        }
    }
}
