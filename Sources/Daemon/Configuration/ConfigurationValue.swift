import TOMLKit

/// A value of the configuration, as the file or an option gives it and `config show` prints it.
public enum ConfigurationValue: Sendable, Equatable, CustomStringConvertible {
    case string(String)
    case integer(Int64)
    /// An integer that people write in base 16.
    case hexadecimal(Int64)
    case flag(Bool)
    case strings([String])
    /// A value of a type that no key takes, as messages call it: `a date`.
    case other(String)

    /// The value as TOML.
    public var description: String {
        switch self {
        case .string(let text): ConfigurationValue.quote(text)
        case .integer(let number): String(number)
        case .hexadecimal(let number): "0x" + String(number, radix: 16)
        case .flag(let flag): flag ? "true" : "false"
        case .strings(let texts): "[" + texts.map(ConfigurationValue.quote).joined(separator: ", ") + "]"
        case .other(let kind): kind
        }
    }

    /// For messages: `a string`.
    var kind: String {
        switch self {
        case .string: "a string"
        case .integer, .hexadecimal: "an integer"
        case .flag: "true or false"
        case .strings: "an array of strings"
        case .other(let kind): kind
        }
    }

    static func parse(_ value: any TOMLValueConvertible) -> ConfigurationValue {
        if let text = value.string { return .string(text) }
        if let number = value.int { return .integer(Int64(number)) }
        if let flag = value.bool { return .flag(flag) }
        guard let array = value.array else { return .other(article(value.type)) }
        var texts: [String] = []
        for element in array {
            guard let text = element.string else { return .other("an array that holds \(article(element.type))") }
            texts.append(text)
        }
        return .strings(texts)
    }

    private static func article(_ type: TOMLType) -> String {
        switch type {
        case .int, .array: "an \(type)"
        default: "a \(type)"
        }
    }

    /// A basic string of TOML 1.0.
    private static func quote(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\t": quoted += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
