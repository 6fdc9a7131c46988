import ArgumentParser
import Blocklist
import QueryLog

/// `webtun list whatif`
struct ListWhatif: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "whatif",
        abstract: "Tell what a list would have changed, without adding it.",
        discussion: """
            Reads or fetches the list and looks through the query log: which queries that were not blocked would have been,
            by name and by program; with --allow, which blocked ones would have been let through. Nothing is added or
            changed. Names that a rule or a list of yours allows stay allowed, and names that your own rules block stay
            blocked; they are counted apart.

            Examples:
              webtun list whatif https://lists.example/ads.txt --since 7d
              webtun list whatif strict.txt --since 24h --limit 50 --json
              webtun list whatif exceptions.txt --allow
            """)

    @Argument(help: ArgumentHelp("The list's file or address.", valueName: "file|url"), completion: .file())
    var source: String
    @Option(
        name: .customLong("since"),
        help: ArgumentHelp("Only queries from then on: 90s, 15m, 1h, 7d, or an ISO 8601 time.", valueName: "when"))
    var since: Since?
    @Option(name: .customLong("format"), help: ArgumentHelp("The list's format.", valueName: "format"))
    var format = FormatArgument()
    @Flag(name: .customLong("allow"), help: "Take it as a list that allows.")
    var allow = false
    @Flag(name: .customLong("exact"), help: "Each line stands for its name alone.")
    var exact = false
    @Option(
        name: .customLong("limit"),
        help: ArgumentHelp("How many names and programs to show; 0: all.", valueName: "count"))
    var limit = 20
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard limit >= 0 else { throw ValidationError("--limit takes 0 or more") }
    }

    func run() throws {
        let reader = try QueryLogReader(path: global.logPath)
        let options = BlocklistStore.ListOptions(
            name: "whatif", format: format.format, allow: allow, exact: exact)
        let fetcher = try ListWork.fetcher([source])
        let trial = try ListWork.withProgress(source) {
            try ListTrial(source, options, fetcher: fetcher, progress: $0)
        }
        let bar = ProgressBar("judging the log", total: nil, unit: .items("names"))
        let (found, total) = try reader.replay(
            since: since?.microseconds, progress: { bar.update($0, total: $1) },
            judge: { trial.action($0) == (allow ? .allow : .block) })
        bar.finish()
        let effect = WhatifEffect(found, allow: allow)
        print(
            output.json
                ? json(effect, trial.report, total).description : text(effect, trial.report, total),
            terminator: output.json ? "\n" : "")
    }

    private var shown: Int { limit == 0 ? .max : limit }

    private func json(_ effect: WhatifEffect, _ report: ImportReport, _ total: Int) -> JSONValue {
        func ranking(_ counts: [(text: String, queries: Int)], _ name: String) -> JSONValue {
            .array(
                counts.prefix(shown).map {
                    .object([(name, .string($0.text)), ("queries", .integer(Int64($0.queries)))])
                })
        }
        return .object([
            ("source", .string(report.source)), ("format", .string(report.format.rawValue)),
            ("entries", .integer(Int64(report.entries))), ("refused", .integer(Int64(report.refused))),
            ("action", .string(allow ? "allow" : "deny")), ("logged", .integer(Int64(total))),
            ("changed", .integer(Int64(effect.queries))), ("names", .integer(Int64(effect.names.count))),
            ("already", .integer(Int64(effect.already))), ("kept", .integer(Int64(effect.kept))),
            ("paused", .integer(Int64(effect.paused))), ("by_name", ranking(effect.names, "qname")),
            ("by_app", ranking(effect.apps, "app")),
        ])
    }

    private func text(_ effect: WhatifEffect, _ report: ImportReport, _ total: Int) -> String {
        let done = allow ? "let through" : "blocked"
        var lines = [
            "\(report.source.printable) (\(report.format.rawValue), \(Quantity.count(report.entries)) entries) would have "
                + "\(done) \(count(effect.queries)) of \(Quantity.count(total)), "
                + "of \(Quantity.count(effect.names.count)) \(effect.names.count == 1 ? "name" : "names")"
        ]
        if effect.already > 0 {
            lines.append(
                "  \(count(effect.already)) more \(allow ? "were not blocked anyway" : "were blocked already")")
        }
        if effect.kept > 0 {
            lines.append(
                "  \(count(effect.kept)) more stay as they are: "
                    + (allow ? "your own rules block them" : "your rules or lists allow them"))
        }
        if effect.paused > 0 { lines.append("  \(count(effect.paused)) more came while webtun was paused") }
        var text = lines.joined(separator: "\n") + "\n"
        for (title, counts) in [("NAME", effect.names), ("PROGRAM", effect.apps)] where !counts.isEmpty {
            var table = Table([.init("QUERIES", .right), .init(title, elastic: true)])
            for entry in counts.prefix(shown) {
                table.append([Table.Cell(Quantity.count(entry.queries)), Table.Cell(entry.text)])
            }
            text += "\n" + table.rendered(width: Terminal.columns(), style: .output)
            if counts.count > shown {
                text += "  and \(Quantity.count(counts.count - shown)) more; --limit shows them\n"
            }
        }
        return text
    }

    private func count(_ queries: Int) -> String {
        "\(Quantity.count(queries)) \(queries == 1 ? "query" : "queries")"
    }
}

/// What a list would have changed, from the logged queries of the names that it has.
struct WhatifEffect {
    /// Queries that would have been decided otherwise.
    private(set) var queries = 0
    /// Decided in that way anyway.
    private(set) var already = 0
    /// Decided by what comes before such a list.
    private(set) var kept = 0
    /// Nothing was decided then.
    private(set) var paused = 0
    /// Most first.
    private(set) var names: [(text: String, queries: Int)] = []
    private(set) var apps: [(text: String, queries: Int)] = []

    init(_ found: [ReplayedQueries], allow: Bool) {
        var byName: [String: Int] = [:]
        var byApp: [String: Int] = [:]
        for row in found {
            if row.reason == "paused" {
                paused += row.queries
            } else if allow ? row.verdict == "block" : row.verdict == "forward" {
                // A rule of the user's comes before every list.
                guard row.reason != "rule" else {
                    kept += row.queries
                    continue
                }
                queries += row.queries
                byName[row.name, default: 0] += row.queries
                byApp[row.app ?? "not known", default: 0] += row.queries
            } else if allow || row.verdict == "block" {
                already += row.queries
            } else {
                kept += row.queries
            }
        }
        func ranked(_ counts: [String: Int]) -> [(text: String, queries: Int)] {
            counts.map { ($0.key, $0.value) }.sorted { ($1.1, $0.0) < ($0.1, $1.0) }
        }
        names = ranked(byName)
        apps = ranked(byApp)
    }
}
