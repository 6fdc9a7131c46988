/// One row of the view `flows`, with the view's names. A value; any thread.
public struct LoggedFlow: Sendable, Equatable {
    public var id: Int64
    /// UTC, ISO 8601 with microseconds and `Z`.
    public var time: String
    /// The same as microseconds since 1970.
    public var microseconds: Int64
    public var client: String?
    public var uid: Int64?
    public var pid: Int64?
    public var app: String?
    public var link: String?
    /// `tcp`, `udp`, `icmp`, …, or the number of a protocol without a name here.
    public var proto: String
    public var remote: String?
    /// Of the remote; nil for protocols without ports.
    public var port: Int64?
    public var name: String?
    /// `dns`, `sni`, `ech`, `quic` or `http`.
    public var nameSource: String?
    /// `allow` or `drop`.
    public var verdict: String
    public var reason: String?
    public var list: String?
    public var rule: String?
    /// Both directions.
    public var packets: Int64
    public var bytes: Int64
    /// Microseconds; nil: the flow has not ended, or nothing is known of its end.
    public var duration: Int64?
    /// `exact` or `probable`.
    public var certainty: String?

    /// From the columns of the view and the time of `flow_log`.
    init(_ row: borrowing Statement) {
        id = row.integer(0)
        time = row.text(1) ?? ""
        client = row.text(2)
        uid = row.optionalInteger(3)
        pid = row.optionalInteger(4)
        app = row.text(5)
        link = row.text(6)
        proto = row.text(7) ?? ""
        remote = row.text(8)
        port = row.optionalInteger(9)
        name = row.text(10)
        nameSource = row.text(11)
        verdict = row.text(12) ?? ""
        reason = row.text(13)
        list = row.text(14)
        rule = row.text(15)
        packets = row.integer(16)
        bytes = row.integer(17)
        duration = row.optionalInteger(18)
        certainty = row.text(19)
        microseconds = row.integer(20) + Schema.timeBase
    }
}

/// Which flows. Everything that is set must hold; patterns are SQLite's GLOB for the whole text.
public struct FlowFilter: Sendable, Equatable {
    /// `allow` or `drop`.
    public var verdict: String?
    public var name: String?
    public var client: String?
    public var remote: String?
    public var app: String?
    /// As in the view.
    public var proto: String?
    public var port: Int64?
    public var list: String?
    /// Microseconds since 1970: not before.
    public var since: Int64?
    /// Only ids above.
    public var after: Int64?
    /// The last so many.
    public var limit: Int?

    public init() {}

    /// The condition on `flow_log AS l`. Small sets of interned ids are compared, so a row that does not pass costs little.
    var condition: LogConditions {
        var conditions = LogConditions()
        if let after { conditions.add("l.id > ?", .integer(after)) }
        if let since {
            conditions.add(
                "l.id >= (SELECT min(first) FROM query_spans WHERE newest >= ?) AND l.time >= ?",
                .integer(since - Schema.timeBase))
        }
        if let verdict { conditions.add("l.outcome", among: .flowOutcomes("verdict", verdict)) }
        if let list { conditions.add("l.outcome", among: .flowOutcomes("list", list)) }
        if let name { conditions.add("l.name", among: .names(name)) }
        if let client { conditions.add("l.source", among: .clients(client)) }
        if let proto { conditions.add("l.source", among: .protocols(proto)) }
        if let remote { conditions.add("l.remote", among: .remotes(remote)) }
        if let app { conditions.add("l.process", among: .programs(app)) }
        if let port { conditions.add("l.port = ?", .integer(port)) }
        return conditions
    }
}

extension QueryLogReader {
    /// Gives every flow that passes the filter to `body`, in the order of ids; with a limit, the last so many.
    ///
    /// A log of a version that knew no flows has none.
    public func flows(_ filter: FlowFilter, _ body: (LoggedFlow) throws -> Void) throws {
        guard try knowsFlows() else { return }
        let condition = filter.condition
        let limit = filter.limit.map { " ORDER BY l.id DESC LIMIT \($0)" } ?? ""
        let statement = try connection.prepare(
            """
            SELECT f.*, l.time FROM (SELECT l.id, l.time FROM flow_log AS l WHERE \(condition.sql)\(limit)) AS l
                CROSS JOIN flows AS f ON f.id = l.id ORDER BY l.id
            """)
        condition.bind(statement)
        while try statement.step() { try body(LoggedFlow(statement)) }
    }

    /// The highest id of a flow; 0 when there is none.
    public func lastFlowID() throws -> Int64 {
        guard try knowsFlows() else { return 0 }
        return try connection.integer("SELECT max(id) FROM flow_log") ?? 0
    }

    /// Whether the log is of a version that keeps flows.
    private func knowsFlows() throws -> Bool {
        try connection.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'flows'") != 0
    }
}
