import Kernel
import Wire

/// One key of `webtun.toml`: its name, how a value is checked and stored, and how it is read back.
public struct Setting: Sendable {
    /// Table and key, for instance `dns.blocking_ttl`.
    public let key: String
    /// Stores a value, or tells why it is refused and leaves the configuration as it was.
    let assign: @Sendable (inout Configuration, ConfigurationValue) -> String?
    /// The value in force.
    public let value: @Sendable (Configuration) -> ConfigurationValue

    typealias Path<Value> = any WritableKeyPath<Configuration, Value> & Sendable

    static func integer<Value: FixedWidthInteger & Sendable>(
        _ key: String, _ path: Path<Value>, _ range: ClosedRange<Value>, hexadecimal: Bool = false
    ) -> Setting {
        let text = { (number: Value) in hexadecimal ? "0x" + String(number, radix: 16) : String(number) }
        let bounds = "\(text(range.lowerBound)) to \(text(range.upperBound))"
        return Setting(key: key) { configuration, value in
            guard case .integer(let number) = value else { return "must be an integer, \(bounds), not \(value.kind)" }
            guard let exact = Value(exactly: number), range.contains(exact) else {
                return "must be \(bounds), not \(number)"
            }
            configuration[keyPath: path] = exact
            return nil
        } value: { configuration in
            let number = Int64(configuration[keyPath: path])
            return hexadecimal ? .hexadecimal(number) : .integer(number)
        }
    }

    static func flag(_ key: String, _ path: Path<Bool>) -> Setting {
        Setting(key: key) { configuration, value in
            guard case .flag(let flag) = value else { return "must be true or false, not \(value.kind)" }
            configuration[keyPath: path] = flag
            return nil
        } value: {
            .flag($0[keyPath: path])
        }
    }

    /// A text that `parse` turns into a value; `wanted` says what it takes.
    static func text<Value: Sendable>(
        _ key: String, _ path: Path<Value>, wanted: String,
        parse: @escaping @Sendable (String) -> Value?, print: @escaping @Sendable (Value) -> String
    ) -> Setting {
        Setting(key: key) { configuration, value in
            guard case .string(let text) = value else { return "must be \(wanted), in quotes, not \(value.kind)" }
            guard let parsed = parse(text) else { return "must be \(wanted), not \"\(text)\"" }
            configuration[keyPath: path] = parsed
            return nil
        } value: {
            .string(print($0[keyPath: path]))
        }
    }

    static func choice<Value: RawRepresentable<String> & CaseIterable & Sendable>(
        _ key: String, _ path: Path<Value>
    ) -> Setting {
        let names = Value.allCases.map { "\"\($0.rawValue)\"" }
        let wanted = names.count > 1 ? names.dropLast().joined(separator: ", ") + " or " + names.last! : names[0]
        return text(key, path, wanted: wanted, parse: Value.init(rawValue:), print: \.rawValue)
    }

    /// An array of texts, each of which `parse` turns into a value.
    static func texts<Value: Sendable>(
        _ key: String, _ path: Path<[Value]>, wanted: String,
        parse: @escaping @Sendable (String) -> Value?, print: @escaping @Sendable (Value) -> String
    ) -> Setting {
        Setting(key: key) { configuration, value in
            guard case .strings(let texts) = value else {
                return "must be an array of strings, each \(wanted), not \(value.kind)"
            }
            var parsed: [Value] = []
            for text in texts {
                guard let one = parse(text) else { return "each must be \(wanted), not \"\(text)\"" }
                parsed.append(one)
            }
            configuration[keyPath: path] = parsed
            return nil
        } value: {
            .strings($0[keyPath: path].map(print))
        }
    }

    static func address(_ key: String, _ path: Path<IPAddress>, isIPv6: Bool) -> Setting {
        text(
            key, path, wanted: isIPv6 ? "an IPv6 address" : "an IPv4 address",
            parse: { text in
                guard let address = IPAddress(text), address.isIPv6 == isIPv6, !address.isUnspecified,
                    !address.isLoopback, !address.isMulticastOrBroadcast
                else { return nil }
                return address
            }, print: \.description)
    }

    static func prefixes(_ key: String, _ path: Path<[Prefix]>) -> Setting {
        texts(
            key, path, wanted: "an address or a prefix, like \"192.0.2.0/24\" or \"2001:db8::/32\"",
            parse: { Prefix($0) }, print: \.description)
    }

    static func links(_ key: String, _ path: Path<[String]>) -> Setting {
        texts(key, path, wanted: "the name of a link", parse: { LinkName.isValid($0) ? $0 : nil }, print: \.self)
    }
}

/// Names of network links.
enum LinkName {
    /// What the kernel takes (`dev_valid_name` of `net/core/dev.c`): 1 to 15 bytes, not `.` or `..`, without slash,
    /// colon and white space.
    static func isValid(_ name: String) -> Bool {
        (1...15).contains(name.utf8.count) && name != "." && name != ".."
            && name.utf8.allSatisfy { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") && $0 > 0x20 && $0 != 0x7f }
    }
}
