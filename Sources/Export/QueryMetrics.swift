internal import Kernel
internal import QueryLog
internal import Wire

/// Counts answers for the metrics. The exporter's thread alone.
struct QueryMetrics {
    private struct Outcome: Hashable {
        var verdict: QueryRow.Verdict
        var transport: QueryRow.Transport
        var rcode: Int16
    }

    /// Who gave the answer.
    private enum Source: String, CaseIterable {
        case policy, cache, upstream, none
    }

    private var outcomes: [Outcome: Int] = [:]
    private var qtypes: [UInt16: Int] = [:]
    private var lists: [Int32: Int] = [:]
    private var upstreams: [SocketAddress: Int] = [:]
    private var durations = [Histogram](repeating: Histogram(), count: Source.allCases.count)

    /// Different values of a label at most; what comes later counts as `other`.
    private static let bound = 64
    private static let otherType: UInt16 = 0
    private static let otherServer = SocketAddress.none

    mutating func add(_ row: QueryRow) {
        outcomes[Outcome(verdict: row.verdict, transport: row.transport, rcode: row.rcode), default: 0] += 1
        if qtypes[row.qtype] != nil || qtypes.count < QueryMetrics.bound {
            qtypes[row.qtype, default: 0] += 1
        } else {
            qtypes[QueryMetrics.otherType, default: 0] += 1
        }
        // Lists are the user's, so they are few.
        if row.verdict == .block { lists[max(0, row.list), default: 0] += 1 }
        let source: Source =
            row.verdict == .block && row.reason != .cname
            ? .policy : row.cached ? .cache : row.upstream.isUnspecified ? .none : .upstream
        if source == .upstream {
            let server = SocketAddress(row.upstream, port: row.upstreamPort)
            let key =
                upstreams[server] != nil || upstreams.count < QueryMetrics.bound ? server : QueryMetrics.otherServer
            upstreams[key, default: 0] += 1
        }
        if row.latency >= 0, let index = Source.allCases.firstIndex(of: source) {
            durations[index].add(Int(row.latency))
        }
    }

    /// - Parameter listName: the name of a list by its number.
    func metrics(listName: (Int32) -> String?) -> [Metric] {
        [
            Metric(
                "webtun_answers_total", .counter, "Answers given, by verdict, transport and response code.",
                samples: outcomes.map { key, count in
                    let rcode = key.rcode < 0 ? "none" : RCode(UInt16(key.rcode)).description
                    return .init(
                        labels: [("verdict", "\(key.verdict)"), ("transport", "\(key.transport)"), ("rcode", rcode)],
                        value: Double(count))
                }.sorted { $0.labels.map(\.1).lexicographicallyPrecedes($1.labels.map(\.1)) }),
            Metric(
                "webtun_queries_by_type_total", .counter, "Queries answered, by query type.", by: "qtype",
                qtypes.map { ($0.key == QueryMetrics.otherType ? "other" : RecordType($0.key).description, $0.value) }
                    .sorted { $0.0 < $1.0 }),
            Metric(
                "webtun_blocked_by_list_total", .counter, "Queries blocked, by the list that decided.", by: "list",
                QueryMetrics.merged(
                    lists.map { ($0.key == 0 ? "rules" : listName($0.key) ?? "list \($0.key)", $0.value) })
            ),
            Metric(
                "webtun_upstream_answers_total", .counter, "Answers that an upstream was asked for.", by: "upstream",
                QueryMetrics.merged(
                    upstreams.map { ($0.key == QueryMetrics.otherServer ? "other" : $0.key.description, $0.value) })),
            Metric(
                "webtun_answer_duration_seconds", .histogram,
                "Time from a query's arrival to its answer, by who gave it.",
                samples: zip(Source.allCases, durations).flatMap { source, histogram in
                    histogram.count == 0 ? [] : histogram.samples([("source", source.rawValue)])
                }),
        ]
    }

    /// Equal labels stand for one sample: two lists may have had the same name one after the other.
    private static func merged(_ values: [(String, Int)]) -> [(String, Int)] {
        Dictionary(values, uniquingKeysWith: +).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

/// A histogram with bounds that suit answers: microseconds inside, seconds outside.
private struct Histogram {
    static let bounds = [
        25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 5_000_000,
    ]

    private var buckets = [Int](repeating: 0, count: bounds.count + 1)
    private var sum = 0
    private(set) var count = 0

    mutating func add(_ microseconds: Int) {
        var index = 0
        while index < Histogram.bounds.count, microseconds > Histogram.bounds[index] { index += 1 }
        buckets[index] += 1
        sum &+= microseconds
        count += 1
    }

    func samples(_ labels: [(String, String)]) -> [Metric.Sample] {
        var samples: [Metric.Sample] = []
        var total = 0
        for (index, bucket) in buckets.enumerated() {
            total += bucket
            let bound = index < Histogram.bounds.count ? Double(Histogram.bounds[index]) / 1_000_000 : .infinity
            samples.append(
                .init(suffix: "_bucket", labels: labels + [("le", MetricsText.number(bound))], value: Double(total)))
        }
        samples.append(.init(suffix: "_sum", labels: labels, value: Double(sum) / 1_000_000))
        samples.append(.init(suffix: "_count", labels: labels, value: Double(count)))
        return samples
    }
}
