import ArgumentParser
import Blocklist

/// `webtun rule undo`
struct RuleUndoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "undo",
        abstract: "Take back the last change of rules.",
        discussion: """
            A change is what one command did: 'allow', 'deny', 'rule rm', 'flow allow', 'flow deny', 'flow rm', 'import'. Once
            more takes back the one before, and so on: the last 500 changes are kept. A rule that some other program changed
            since is left alone, and told.

            Examples:
              webtun rule undo
              webtun rule undo --list
              webtun rule undo --dry-run
            """)

    @Flag(name: .customLong("list"), help: "Show the changes that can be taken back, the next one first.")
    var list = false
    @Flag(name: .customLong("dry-run"), help: "Say what would be done, and do nothing.")
    var dryRun = false
    @Option(name: .customLong("limit"), help: ArgumentHelp("How many changes --list shows.", valueName: "count"))
    var limit = 20
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit takes 1 or more") }
        if list, dryRun { throw ValidationError("--list and --dry-run exclude each other") }
    }

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let labels = try GroupLabels(store)
        if list { return try show(store.ruleChanges(limit: limit), labels) }
        guard let undo = try store.undoRules(dryRun: dryRun) else {
            throw CommandFailure("no change of rules can be taken back")
        }
        for item in undo.change.items {
            let reason = undo.left.first { $0.item == item }?.reason
            if output.json {
                var members = RuleUndoCommand.members(item, undo.change)
                members.append(("left", .optional(reason)))
                print(JSONValue.object(members))
            } else if let reason {
                Terminal.complain("webtun: \(item.kind.rawValue) \(item.id): \(reason); it stays as it is")
            } else {
                print(((dryRun ? "would have " : "") + RuleUndoCommand.done(item, labels)).printable)
            }
        }
        Terminal.flush()
        if undo.left.count == undo.change.items.count, !undo.left.isEmpty { throw ExitStatus.error.exit }
    }

    private func show(_ changes: [RuleChange], _ labels: GroupLabels) {
        if output.json {
            for change in changes {
                print(
                    JSONValue.object([
                        ("change", .integer(change.number)), ("time", .optional(Moment.iso(change.time))),
                        ("items", .array(change.items.map { .object(RuleUndoCommand.members($0, change)) })),
                    ]))
            }
            return
        }
        if changes.isEmpty { return print("no change of rules can be taken back") }
        for change in changes {
            for item in change.items {
                print("\(Moment.text(change.time))  \(RuleUndoCommand.was(item, labels))".printable)
            }
        }
    }

    /// What taking it back does.
    static func done(_ item: RuleChange.Item, _ labels: GroupLabels) -> String {
        let (old, new) = (
            item.old.map { text(item.kind, $0, labels) } ?? "", item.new.map { text(item.kind, $0, labels) } ?? ""
        )
        if item.old == nil { return "removed again: \(new)" }
        return item.new == nil ? "put back: \(old)" : "changed back: \(new) is \(old) again"
    }

    /// What the change did.
    static func was(_ item: RuleChange.Item, _ labels: GroupLabels) -> String {
        let (old, new) = (
            item.old.map { text(item.kind, $0, labels) } ?? "", item.new.map { text(item.kind, $0, labels) } ?? ""
        )
        if item.old == nil { return "added \(new)" }
        return item.new == nil ? "removed \(old)" : "changed \(old) to \(new)"
    }

    /// A rule in a line, from the columns of its row.
    static func text(_ kind: RuleChange.Item.Kind, _ columns: RuleColumns, _ labels: GroupLabels) -> String {
        func word(_ name: String) -> String? {
            switch columns[name] {
            case .null, .text(""): nil
            case .integer(let number): "\(number)"
            case .text(let text): text
            }
        }
        var parts: [String?]
        switch kind {
        case .rule: parts = [word("action"), word("match"), word("name")]
        case .flow:
            let (first, last) = (word("port"), word("port_end"))
            parts = [
                "flow", word("action"), word("remote"), word("name"), word("match") == "exact" ? "exact" : nil,
                first.map { "port \($0)" + (last == first ? "" : "-\(last ?? "")") },
                word("proto").flatMap { UInt8($0) }.map(FlowProtocol.text),
            ]
        }
        parts += [word("app").map { "app \($0)" }, word("user").map { "user \($0)" }]
        if case .integer(let set) = columns["groups"] { parts.append(labels.remark(GroupSet(rawValue: UInt64(bitPattern: set)))) }
        let known = [
            "id", "action", "match", "name", "comment", "added", "app", "user", "uid", "direction", "remote", "port",
            "port_end", "proto", "groups",
        ]
        for (name, _) in columns.values where !known.contains(name) { parts.append(word(name).map { "\(name) \($0)" }) }
        parts.append(word("comment").map { "(\($0))" })
        return parts.compactMap(\.self).joined(separator: " ")
    }

    private static func members(_ item: RuleChange.Item, _ change: RuleChange) -> [(String, JSONValue)] {
        func object(_ columns: RuleColumns?) -> JSONValue {
            guard let columns else { return .null }
            return .object(
                columns.values.map { name, value in
                    switch value {
                    case .null: (name, .null)
                    case .integer(let number):
                        name == "added" ? (name, .optional(Moment.iso(number))) : (name, .integer(number))
                    case .text(let text): (name, .string(text))
                    }
                })
        }
        return [
            ("kind", .string(item.kind.rawValue)), ("id", .integer(item.id)),
            ("time", .optional(Moment.iso(change.time))), ("old", object(item.old)), ("new", object(item.new)),
        ]
    }
}
