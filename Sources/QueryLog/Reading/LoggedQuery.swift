/// One row of the view `queries`, with the view's names. A value; any thread.
public struct LoggedQuery: Sendable, Equatable {
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
    /// `udp` or `tcp`.
    public var transport: String
    /// Empty: the log keeps no names.
    public var qname: String
    /// The mnemonic, or `TYPE123`.
    public var qtype: String
    /// `block`, `allow` or `forward`.
    public var verdict: String
    public var reason: String?
    public var list: String?
    public var rule: String?
    /// The mnemonic; nil: no answer was given.
    public var rcode: String?
    /// The CNAME chain and the first addresses, between spaces.
    public var answer: String?
    public var upstream: String?
    public var cached: Bool
    public var dnssec: String?
    /// Microseconds.
    public var latency: Int64?

    /// Identical queries of one second that the row stands for.
    public var count: Int64
    /// How surely `uid`, `pid` and `app` are those that asked: `exact`, `probable`.
    public var certainty: String?

    /// From the columns of the view and the time of `query_log`.
    init(_ row: borrowing Statement) {
        id = row.integer(0)
        time = row.text(1) ?? ""
        client = row.text(2)
        uid = row.optionalInteger(3)
        pid = row.optionalInteger(4)
        app = row.text(5)
        link = row.text(6)
        transport = row.text(7) ?? ""
        qname = row.text(8) ?? ""
        qtype = row.text(9) ?? ""
        verdict = row.text(10) ?? ""
        reason = row.text(11)
        list = row.text(12)
        rule = row.text(13)
        rcode = row.text(14)
        answer = row.text(15)
        upstream = row.text(16)
        cached = row.integer(17) != 0
        dnssec = row.text(18)
        latency = row.optionalInteger(19)
        count = row.integer(20)
        certainty = row.text(21)
        microseconds = row.integer(22) + Schema.timeBase
    }
}
