/// What reports need of the rows of `outcomes`, by id.
struct OutcomeTable {
    struct Outcome {
        var verdict = ""
        var list: String?
        var rcode: String?
        var upstream: String?
        var isCachedAnswer = false

        var isBlocked: Bool { verdict == "block" }
        var isAllowed: Bool { verdict == "allow" }
        /// From the cache, by nobody's rule.
        var isCached: Bool { isCachedAnswer && !isBlocked }
        /// An upstream was asked for it.
        var isResolved: Bool { !isCachedAnswer && !isBlocked && upstream != nil }
        var isFailed: Bool { rcode == nil || rcode == "SERVFAIL" }
    }

    private var outcomes: [Outcome?] = []

    init(_ connection: Connection) throws(QueryLogError) {
        let statement = try connection.prepare("SELECT id, verdict, list, rcode, upstream, cached FROM outcomes")
        while try statement.step() {
            let id = Int(statement.integer(0))
            guard id >= 0, id < 1 << 24 else { continue }
            while outcomes.count <= id { outcomes.append(nil) }
            outcomes[id] = Outcome(
                verdict: statement.text(1) ?? "", list: statement.text(2), rcode: statement.text(3),
                upstream: statement.text(4), isCachedAnswer: statement.integer(5) != 0)
        }
    }

    /// One that says nothing for an id that is not there.
    subscript(id: Int64) -> Outcome {
        id >= 0 && id < outcomes.count ? outcomes[Int(id)] ?? Outcome() : Outcome()
    }

    /// The ids whose outcome `isWanted`.
    func ids(where isWanted: (Outcome) -> Bool) -> [Int64] {
        outcomes.indices.filter { outcomes[$0].map(isWanted) ?? false }.map(Int64.init)
    }
}
