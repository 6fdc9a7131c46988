import ArgumentParser
import QueryLog

/// `webtun flows`
struct FlowsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flows",
        abstract: "Show the flows that were judged, oldest first.",
        discussion: """
            Flows are logged in mode full. A flow appears when it is judged; its packets, bytes and duration come when it ends.
            Times are local in tables and UTC in JSON, whose members are the columns of the view `flows`. Patterns know
            * ? [a-z].

            Examples:
              webtun flows                              the last 50
              webtun flows -f --dropped                 follow what is dropped
              webtun flows --app curl --since 1h
              webtun flows --port 853
              webtun flows --limit 0 --json | jq -s 'map(.bytes) | add'
            """)

    @OptionGroup var tail: TailOptions
    @Flag(name: .customLong("dropped"), help: "Only dropped flows.")
    var dropped = false
    @Flag(name: .customLong("allowed"), help: "Only allowed flows.")
    var allowed = false
    @Option(name: .customLong("name"), help: ArgumentHelp("Only names that match.", valueName: "glob"))
    var name: String?
    @Option(name: .customLong("client"), help: ArgumentHelp("Only clients that match.", valueName: "glob"))
    var client: String?
    @Option(name: .customLong("remote"), help: ArgumentHelp("Only remote addresses that match.", valueName: "glob"))
    var remote: String?
    @Option(
        name: .customLong("app"), help: ArgumentHelp("Only programs whose path or name matches.", valueName: "glob"))
    var app: String?
    @Option(name: .customLong("proto"), help: ArgumentHelp("Only this protocol: tcp, udp, icmp…", valueName: "name"))
    var proto: String?
    @Option(name: .customLong("port"), help: ArgumentHelp("Only this port of the remote.", valueName: "number"))
    var port: UInt16?
    @Option(name: .customLong("list"), help: ArgumentHelp("Only what this list decided.", valueName: "name"))
    var list: String?
    @Option(
        name: .customLong("since"),
        help: ArgumentHelp("Only from then on: 90s, 15m, 1h, 2d, 1w, or an ISO 8601 time.", valueName: "when"))
    var since: Since?
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if dropped, allowed { throw ValidationError("--dropped and --allowed exclude each other") }
    }

    func run() async throws {
        var printer = FlowPrinter(json: output.json)
        try await LogTail.read(global.logPath, filter, tail, newest: { try $0.lastFlowID() }) { reader, filter in
            var last: Int64 = 0
            try reader.flows(filter) { flow in
                last = max(last, flow.id)
                printer.add(flow)
            }
            printer.flush()
            return last
        }
    }

    private var filter: FlowFilter {
        var filter = FlowFilter()
        filter.verdict = dropped ? "drop" : allowed ? "allow" : nil
        filter.name = name
        filter.client = client
        filter.remote = remote
        filter.app = app
        filter.proto = proto
        filter.port = port.map(Int64.init)
        filter.list = list
        filter.since = since?.microseconds
        return filter
    }
}

/// Prints flows, aligned to the terminal as it is at the moment.
struct FlowPrinter {
    private let json: Bool
    private var table = GrowingTable([
        .init("TIME"), .init("CLIENT", elastic: true, minimum: 9), .init("", elastic: false),
        .init("APP", elastic: true, minimum: 6), .init("PROTO"), .init("REMOTE", elastic: true, minimum: 12),
        .init("NAME", elastic: true, minimum: 12), .init("WHY", elastic: true, minimum: 6), .init("BYTES", .right),
        .init("LASTED", .right),
    ])

    init(json: Bool) {
        self.json = json
    }

    mutating func add(_ flow: LoggedFlow) {
        if json { print(FlowPrinter.json(flow)) } else { table.append(FlowPrinter.cells(flow)) }
    }

    /// Prints what was added.
    mutating func flush() {
        table.flush()
        Terminal.flush()
    }

    private static func cells(_ flow: LoggedFlow) -> [Table.Cell] {
        let isDropped = flow.verdict == "drop"
        let why = flow.list ?? (flow.reason == "rule" ? flow.rule ?? "rule" : flow.reason) ?? ""
        let app = flow.app.map { String($0.split(separator: "/").last ?? "") } ?? ""
        return [
            Table.Cell(LocalTime.text(flow.microseconds), .dim), Table.Cell(flow.client ?? ""),
            Table.Cell(flow.verdict, isDropped ? .red : .dim), Table.Cell(app), Table.Cell(flow.proto, .dim),
            Table.Cell(remote(flow)), Table.Cell(flow.name ?? "", isDropped ? .red : nil), Table.Cell(why),
            Table.Cell(flow.duration == nil ? "" : Quantity.bytes(flow.bytes), .dim),
            Table.Cell(flow.duration.map(Quantity.latency) ?? "", .dim),
        ]
    }

    /// The address with its port.
    private static func remote(_ flow: LoggedFlow) -> String {
        guard let remote = flow.remote else { return flow.port.map { ":\($0)" } ?? "" }
        guard let port = flow.port else { return remote }
        return remote.contains(":") ? "[\(remote)]:\(port)" : "\(remote):\(port)"
    }

    private static func json(_ flow: LoggedFlow) -> JSONValue {
        .object([
            ("id", .integer(flow.id)), ("time", .string(flow.time)), ("client", .optional(flow.client)),
            ("uid", .optional(flow.uid)), ("pid", .optional(flow.pid)), ("app", .optional(flow.app)),
            ("link", .optional(flow.link)), ("proto", .string(flow.proto)), ("remote", .optional(flow.remote)),
            ("port", .optional(flow.port)), ("name", .optional(flow.name)),
            ("name_source", .optional(flow.nameSource)), ("verdict", .string(flow.verdict)),
            ("reason", .optional(flow.reason)), ("list", .optional(flow.list)), ("rule", .optional(flow.rule)),
            ("packets", .integer(flow.packets)), ("bytes", .integer(flow.bytes)),
            ("duration_us", .optional(flow.duration)), ("certainty", .optional(flow.certainty)),
        ])
    }
}
