import ArgumentParser
import Blocklist

/// `webtun list show`
struct ListShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show a list: where it comes from, what was refused, its first names.",
        discussion: """
            With --unique: what only this list adds to the other lists in force. A name is not unique when another list
            decides it alike, by the name itself or by a shorter one above it. Your own rules are not looked at.

            Examples:
              webtun list show ads
              webtun list show ads --names 1000 | less
              webtun list show ads --unique --names 50
            """)

    @Argument(help: ArgumentHelp("A list's name or id.", valueName: "list"))
    var name: String
    @Option(name: .customLong("names"), help: ArgumentHelp("How many names to show.", valueName: "count"))
    var count = 10
    @Flag(name: .customLong("unique"), help: "Show what only this list adds.")
    var unique = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard count >= 0 else { throw ValidationError("--names takes 0 or more") }
    }

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let list = try store.list(name)
        if unique { return try ListUnique.show(store, list, shown: count, json: output.json) }
        let refusals = try store.refusals(of: list.id)
        let entries = try store.entries(of: list.id, limit: count)
        let labels = try GroupLabels(store)
        if output.json {
            guard case .object(var members) = ListLs.json(list, labels) else { return }
            members.append(("refusals", .array(refusals.map(ListWork.json))))
            members.append(
                (
                    "entries",
                    .array(entries.map { .object([("line", .integer(Int64($0.line))), ("name", .string($0.name))]) })
                ))
            print(JSONValue.object(members))
            return
        }
        let style = Style.output
        let facts = [
            ("list", "\(list.name) (id \(list.id))"), ("source", list.source),
            ("format", list.detected.map { $0 == list.format ? $0 : "\($0) (\(list.format))" } ?? list.format),
            ("kind", ListLs.kind(list)), ("groups", labels.text(list.groups)), ("state", list.enabled ? "on" : "off"),
            (
                "names",
                "\(Quantity.count(list.entries)) of \(Quantity.count(list.lines)) lines, "
                    + "\(Quantity.count(list.skipped)) passed over, \(Quantity.count(list.refused)) refused"
            ), ("added", Moment.text(list.added)), ("updated", Moment.text(list.updated)),
        ]
        for (fact, value) in facts { print(style.paint(fact.padded(9), .dim) + value.printable) }
        if let error = list.error {
            print(style.paint("error".padded(9), .dim) + style.paint(error.printable, .red))
        }
        if !refusals.isEmpty {
            print("\nrefused\(list.refused > refusals.count ? " (the first \(refusals.count))" : "")")
            var table = Table([.init("LINE", .right), .init("REASON"), .init("TEXT", elastic: true)])
            for refusal in refusals {
                table.append(["\(refusal.line)", Table.Cell(refusal.reason, .yellow), Table.Cell(refusal.text)])
            }
            table.print()
        }
        if !entries.isEmpty {
            print("\nnames\(list.entries > entries.count ? " (the first \(entries.count))" : "")")
            var table = Table([.init("LINE", .right), .init("NAME", elastic: true)])
            for entry in entries { table.append(["\(entry.line)", Table.Cell(entry.name)]) }
            table.print()
        }
    }
}

extension String {
    /// The text and blanks up to a width.
    func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}
