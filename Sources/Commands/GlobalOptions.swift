public import ArgumentParser

/// What every command takes: where webtun keeps its state.
public struct GlobalOptions: ParsableArguments {
    /// Used when neither `--state` nor `WEBTUN_STATE` names another.
    public static let defaultStateDirectory = "/var/lib/webtun"

    @Option(
        name: .customLong("state"),
        help: ArgumentHelp(
            "The directory of blocklist, query log and control socket.",
            discussion: "Default: $WEBTUN_STATE, else \(GlobalOptions.defaultStateDirectory).", valueName: "dir"),
        completion: .directory)
    public var state: String?

    public init() {}

    /// The state directory to use: `--state`, else `WEBTUN_STATE` when it is not empty, else the default. Without a
    /// slash at the end.
    public var stateDirectory: String {
        var directory = state ?? Terminal.environment("WEBTUN_STATE") ?? ""
        if directory.isEmpty { directory = GlobalOptions.defaultStateDirectory }
        while directory.count > 1, directory.hasSuffix("/") { directory.removeLast() }
        return directory
    }

    public mutating func validate() throws {
        if state == "" { throw ValidationError("--state needs the name of a directory") }
    }
}

/// What every reading command takes.
public struct OutputOptions: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print JSON: one object, or one object a line.")
    public var json = false

    public init() {}
}

extension OutputOptions {
    /// Prints things as JSON, one object a line, or as a table with a row for each; `none` when there are none.
    func list<Thing>(
        _ things: [Thing], none: String, _ columns: [Table.Column], json toJSON: (Thing) -> JSONValue,
        row: (Thing) -> [Table.Cell]
    ) {
        if json {
            for thing in things { print(toJSON(thing)) }
            return
        }
        guard !things.isEmpty else { return print(none) }
        var table = Table(columns)
        for thing in things { table.append(row(thing)) }
        table.print()
    }
}
