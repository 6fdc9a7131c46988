public import ArgumentParser

/// What the commands that print rows of the log take.
public struct LogOutputOptions: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print JSON: one object a line.")
    public var json = false
    @Flag(name: .customLong("csv"), help: "Print CSV (RFC 4180) with a line of titles.")
    public var csv = false

    public init() {}

    public func validate() throws {
        if json, csv { throw ValidationError("--json and --csv exclude each other") }
    }
}

/// Fields of a line of CSV (RFC 4180). Lines end with a line feed, as tools of Unix expect.
enum CSV {
    static func line(_ fields: [String]) -> String {
        fields.map(field).joined(separator: ",")
    }

    /// In double quotes, those inside doubled, when the text needs them.
    static func field(_ text: String) -> String {
        guard text.utf8.contains(where: { [0x22, 0x2c, 0x0a, 0x0d].contains($0) }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }

    /// The values of an object in the order of its members.
    static func line(_ members: [(String, JSONValue)]) -> String {
        line(
            members.map { member in
                switch member.1 {
                case .null: ""
                case .string(let text): text
                case .bool(let flag): flag ? "1" : "0"
                default: member.1.description
                }
            })
    }
}
