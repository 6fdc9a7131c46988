/// Times as people write them: `30s`, `5m`, `1h`, `7d`, or several in falling order like `1h30m`.
public enum Seconds {
    private static let units: [(Character, UInt64)] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]

    /// Seconds, at least 1; nil when the text is no time or is longer than a century.
    public static func parse(_ text: String) -> UInt64? {
        var total: UInt64 = 0
        var rest = text[...]
        var allowed = units[...]
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest[digits.endIndex...]
            guard let count = UInt64(digits), count <= 1 << 32, let letter = rest.popFirst(),
                let index = allowed.firstIndex(where: { $0.0 == letter })
            else { return nil }
            total += count * allowed[index].1
            allowed = allowed[(index + 1)...]
        }
        return (1...100 * 366 * 86_400).contains(total) ? total : nil
    }

    /// The shortest text that `parse` reads as the same time.
    public static func print(_ seconds: UInt64) -> String {
        var rest = seconds
        var text = ""
        for (letter, size) in units where rest >= size {
            text += "\(rest / size)\(letter)"
            rest %= size
        }
        return text.isEmpty ? "0s" : text
    }
}
