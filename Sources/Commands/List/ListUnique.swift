import Blocklist

/// `webtun list show --unique`
enum ListUnique {
    static func show(_ store: BlocklistStore, _ list: BlockList, shown: Int, json: Bool) throws {
        var names: [(line: Int, entry: ListedName)] = []
        let result = try ListWork.withProgress(list.name) { progress in
            try store.unique("\(list.id)", progress: progress) { line, entry in
                if names.count < shown { names.append((line, entry)) }
            }
        }
        if json {
            print(
                JSONValue.object([
                    ("name", .string(list.name)), ("id", .integer(Int64(list.id))), ("enabled", .bool(list.enabled)),
                    ("names", .integer(Int64(result.entries))), ("unique", .integer(Int64(result.unique))),
                    ("not_judged", .integer(Int64(result.others))),
                    (
                        "entries",
                        .array(
                            names.map { line, entry in
                                guard case .object(let members) = ListDiff.json(entry) else { return .null }
                                return .object([("line", .integer(Int64(line)))] + members)
                            })
                    ),
                ]))
            return
        }
        let share = result.entries > 0 ? Double(result.unique) / Double(result.entries) : 0
        print(
            "'\(list.name.printable)' alone decides \(Quantity.count(result.unique)) of its "
                + "\(Quantity.count(result.entries)) names (\(Quantity.percent(share)))"
                + (list.enabled ? "" : "; it is off"))
        if result.others > 0 { print("\(Quantity.count(result.others)) addresses and patterns were not judged") }
        guard !names.isEmpty else { return }
        print("\nunique\(result.unique > names.count ? " (the first \(names.count))" : "")")
        var table = Table([.init("LINE", .right), .init("NAME", elastic: true)])
        for (line, entry) in names { table.append(["\(line)", Table.Cell(ListDiff.text(entry))]) }
        table.print()
    }
}
