import ArgumentParser
import Daemon

/// `webtun config show`
struct ConfigShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print every key with its value and where that comes from.",
        discussion: """
            The output is a configuration file again: redirect it to keep it.

            Examples:
              webtun config show
              webtun config show --config etc/webtun.toml --json
            """)

    @Option(
        name: .customLong("config"),
        help: ArgumentHelp(
            "The file to read.", discussion: "Default: \(Configuration.defaultFile), when it exists.",
            valueName: "file"),
        completion: .file(extensions: ["toml"]))
    var file: String?
    @OptionGroup var output: OutputOptions

    func run() throws {
        let configuration = try Configuration.load(file: file)
        print(output.json ? ConfigShow.json(configuration) : ConfigShow.toml(configuration, style: .output))
    }

    /// TOML, the origin of each value behind it.
    static func toml(_ configuration: Configuration, style: Style) -> String {
        var lines: [String] = []
        var table: Substring = ""
        for setting in Configuration.settings {
            let parts = setting.key.split(separator: ".", maxSplits: 1)
            if parts[0] != table {
                table = parts[0]
                if !lines.isEmpty { lines.append("") }
                lines.append(style.paint("[\(table)]", .bold))
            }
            let assignment = "\(parts[1]) = \(setting.value(configuration))"
            let padding = String(repeating: " ", count: max(1, 44 - assignment.columns))
            let origin = configuration.origin(of: setting.key)
            lines.append(assignment + padding + style.paint("# \(origin.description.printable)", .dim))
        }
        return lines.joined(separator: "\n")
    }

    /// One object a key.
    static func json(_ configuration: Configuration) -> String {
        Configuration.settings.map { setting in
            JSONValue.object([
                ("key", .string(setting.key)),
                ("value", JSONValue(setting.value(configuration))),
                ("origin", .string(configuration.origin(of: setting.key).description)),
            ]).description
        }.joined(separator: "\n")
    }
}

extension JSONValue {
    init(_ value: ConfigurationValue) {
        self =
            switch value {
            case .string(let text), .other(let text): .string(text)
            case .integer(let number), .hexadecimal(let number): .integer(number)
            case .flag(let flag): .bool(flag)
            case .strings(let texts): .array(texts.map(JSONValue.string))
            }
    }
}
