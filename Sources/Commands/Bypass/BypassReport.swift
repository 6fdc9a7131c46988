import ArgumentParser
import Blocklist
import Daemon
import Kernel
import QueryLog

/// `webtun bypass report`
struct BypassReport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Show what the protection covers, its exceptions, and who tried to get around.",
        discussion: """
            Attempts are the blocked queries and flows of the log. With --operators every resolver is listed.

            Examples:
              webtun bypass report --since 24h
              webtun bypass report --operators
              webtun bypass report --json | jq '.attempts[] | select(.app == "firefox")'
            """)

    @Option(
        name: .customLong("since"),
        help: ArgumentHelp("Attempts from then on: 90s, 15m, 1h, 2d, 1w, or an ISO 8601 time.", valueName: "when"))
    var since: Since?
    @Flag(name: .customLong("operators"), help: "List what is known of each resolver.")
    var listsOperators = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let state = try store.bypass()
        let exceptions = try BypassExceptions.find(store, state)
        let attempts = try BypassAttempts.read(global.logPath, since: since?.microseconds)
        let mode = try? ControlClient(state: global.stateDirectory, patience: 3).request(.status).mode
        if output.json {
            guard case .object(var members) = BypassReport.json(state) else { return }
            members.append(("mode", .optional(mode)))
            members.append(("exceptions", .array(exceptions.map(\.json))))
            members.append(("attempts", .array(attempts.map(\.json))))
            members.append(("operators", .array(BypassReport.operators(state))))
            print(JSONValue.object(members))
            return
        }
        print(BypassReport.text(state, mode: mode, style: .output))
        if listsOperators { BypassReport.printOperators(state) }
        if !exceptions.isEmpty {
            print("\nexceptions made by your rules and allow lists")
            var table = Table([.init("WHAT", elastic: true), .init("OPERATOR"), .init("ALLOWED BY", elastic: true)])
            for exception in exceptions {
                table.append([
                    Table.Cell(exception.entry.subject), Table.Cell(exception.entry.operatorName),
                    Table.Cell(exception.reason, .yellow),
                ])
            }
            table.print()
        }
        BypassReport.printAttempts(attempts)
    }

    private static func printAttempts(_ attempts: [BypassAttempts.Attempt]) {
        guard !attempts.isEmpty else { return print("\nno attempts in the log") }
        print("\nattempts")
        var table = Table([
            .init("TIMES", .right), .init("WHAT", elastic: true), .init("PROGRAM", elastic: true), .init("CLIENT"),
            .init("LAST"),
        ])
        for attempt in attempts {
            table.append([
                Table.Cell(Quantity.count(attempt.times)), Table.Cell(attempt.what, .red),
                Table.Cell(attempt.app ?? ""), Table.Cell(attempt.client ?? ""),
                Table.Cell(String(attempt.last.prefix(19)).replacing("T", with: " ")),
            ])
        }
        table.print()
    }

    private static func printOperators(_ state: BypassState) {
        print("")
        var table = Table([.init("OPERATOR"), .init("WHAT"), .init("SUBJECT", elastic: true), .init("LINE", .right)])
        for entry in state.entries {
            table.append([
                Table.Cell(entry.operatorName), Table.Cell(entry.kind.rawValue), Table.Cell(entry.subject),
                "\(entry.line)",
            ])
        }
        table.print()
    }

    private static func count(_ state: BypassState, _ kind: ResolverEntry.Kind) -> Int {
        state.entries.count { $0.kind == kind }
    }

    /// One line, or one object, after the switch was set.
    static func printSwitch(_ store: BlocklistStore, _ output: OutputOptions) throws {
        let state = try store.bypass()
        print(output.json ? json(state).description : summary(state))
    }

    private static func summary(_ state: BypassState) -> String {
        guard state.isOn else { return "bypass protection is off" }
        return "bypass protection is on: \(count(state, .names)) names, \(count(state, .addresses)) addresses, "
            + "\(count(state, .port)) ports, \(count(state, .nxdomain) + count(state, .nodata)) signals"
    }

    static func text(_ state: BypassState, mode: String?, style: Style) -> String {
        var lines: [String] = []
        func fact(_ name: String, _ value: String) {
            lines.append(style.paint(name.padded(11), .dim) + value.printable)
        }
        lines.append(
            style.paint("bypass".padded(11), .dim)
                + style.paint(state.isOn ? "on" : "off", state.isOn ? .green : .yellow))
        fact("data", state.source.map { "\($0), read \(Moment.text(state.read))" } ?? "none was read")
        guard !state.entries.isEmpty else { return lines.joined(separator: "\n") }
        let subjects = { (kind: ResolverEntry.Kind) in
            state.entries.filter { $0.kind == kind }.map(\.subject).joined(separator: ", ")
        }
        fact("names", "\(count(state, .names)) names of resolvers and all below them are blocked")
        fact("signals", "NXDOMAIN: \(subjects(.nxdomain)); no records: \(subjects(.nodata))")
        fact("ports", subjects(.port))
        fact("addresses", "\(count(state, .addresses)), their port 443 over TCP and UDP")
        fact("records", "ech= and address hints of names that are blocked are taken out of SVCB and HTTPS answers")
        switch mode {
        case "full"?: fact("mode", "full: ports and addresses are cut")
        case let mode?: fact("mode", "\(mode): names only; ports and addresses are cut in full mode")
        case nil: fact("mode", "webtun is not running")
        }
        return lines.joined(separator: "\n")
    }

    static func json(_ state: BypassState) -> JSONValue {
        .object([
            ("bypass", .string(state.isOn ? "on" : "off")), ("source", .optional(state.source)),
            ("read", .optional(Moment.iso(state.read))), ("names", .integer(Int64(count(state, .names)))),
            ("addresses", .integer(Int64(count(state, .addresses)))), ("ports", .integer(Int64(count(state, .port)))),
            ("nxdomain", .integer(Int64(count(state, .nxdomain)))), ("nodata", .integer(Int64(count(state, .nodata)))),
        ])
    }

    private static func operators(_ state: BypassState) -> [JSONValue] {
        state.entries.map { entry in
            .object([
                ("operator", .string(entry.operatorName)), ("kind", .string(entry.kind.rawValue)),
                ("subject", .string(entry.subject)), ("source", .string(entry.source)),
                ("line", .integer(Int64(entry.line))),
            ])
        }
    }
}
