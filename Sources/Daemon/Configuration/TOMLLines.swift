/// On which line of a TOML document each key stands. The parser gives values without positions, and messages need
/// them.
///
/// Expects a document that the parser has accepted; reads any text to its end without trapping.
struct TOMLLines {
    /// Lines count from 1. A table has the line of its first header or key.
    private(set) var lines: [[String]: Int] = [:]

    private let bytes: [UInt8]
    private var at = 0
    private var line = 1

    init(_ text: String) {
        bytes = Array(text.utf8)
        var table: [String] = []
        while skipBlank(), at < bytes.count {
            if skip("[") {
                _ = skip("[")
                table = key()
                note(table)
                while at < bytes.count, bytes[at] != UInt8(ascii: "\n"), bytes[at] != UInt8(ascii: "#") { at += 1 }
            } else {
                entry(in: table)
            }
        }
    }

    /// The line of the key at `path`, or of the nearest table around it.
    func line(of path: [String]) -> Int {
        for length in stride(from: path.count, to: 0, by: -1) {
            if let line = lines[Array(path[..<length])] { return line }
        }
        return 1
    }

    private mutating func note(_ path: [String]) {
        for length in 1...max(1, path.count) where length <= path.count {
            let part = Array(path[..<length])
            if lines[part] == nil { lines[part] = line }
        }
    }

    private mutating func entry(in table: [String]) {
        let start = at
        let path = table + key()
        note(path)
        skipSpaces()
        _ = skip("=")
        value(at: path)
        // Whatever it is, do not stay here.
        if at == start { at += 1 }
    }

    /// A dotted key: bare or quoted parts.
    private mutating func key() -> [String] {
        var parts: [String] = []
        repeat {
            skipSpaces()
            let start = at
            if at < bytes.count, bytes[at] == UInt8(ascii: "\"") || bytes[at] == UInt8(ascii: "'") {
                string()
                parts.append(text(min(start + 1, at)..<max(start + 1, at - 1)))
            } else {
                while at < bytes.count, isBare(bytes[at]) { at += 1 }
                parts.append(text(start..<at))
            }
            skipSpaces()
        } while skip(".")
        return parts
    }

    private mutating func value(at path: [String]) {
        skipSpaces()
        guard at < bytes.count else { return }
        switch bytes[at] {
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            string()
        case UInt8(ascii: "["):
            at += 1
            while skipBlank(), at < bytes.count, !skip("]") {
                if !skip(",") { value(at: path) }
            }
        case UInt8(ascii: "{"):
            at += 1
            while skipBlank(), at < bytes.count, !skip("}") {
                if !skip(",") { entry(in: path) }
            }
        default:
            let start = at
            while at < bytes.count, !",]}#\n".utf8.contains(bytes[at]) { at += 1 }
            if at == start { at += 1 }
        }
    }

    /// A string of any of the four kinds, from its opening quote to behind its closing one.
    private mutating func string() {
        let quote = bytes[at]
        let isBasic = quote == UInt8(ascii: "\"")
        let isLong = at + 2 < bytes.count && bytes[at + 1] == quote && bytes[at + 2] == quote
        at += isLong ? 3 : 1
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\n") { line += 1 }
            if isBasic && byte == UInt8(ascii: "\\") {
                if at + 1 < bytes.count, bytes[at + 1] == UInt8(ascii: "\n") { line += 1 }
                at += 2
                continue
            }
            at += 1
            guard byte == quote else { continue }
            if !isLong { break }
            guard at + 1 < bytes.count, bytes[at] == quote, bytes[at + 1] == quote else { continue }
            at += 2
            // One or two quotes may stand before the closing three.
            while at < bytes.count, bytes[at] == quote { at += 1 }
            break
        }
        at = min(at, bytes.count)
    }

    private func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private mutating func skip(_ character: Character) -> Bool {
        guard at < bytes.count, bytes[at] == character.asciiValue else { return false }
        at += 1
        return true
    }

    private mutating func skipSpaces() {
        while at < bytes.count, bytes[at] == UInt8(ascii: " ") || bytes[at] == UInt8(ascii: "\t") { at += 1 }
    }

    /// White space, line ends and comments. Always true.
    private mutating func skipBlank() -> Bool {
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): at += 1
            case UInt8(ascii: "\n"):
                line += 1
                at += 1
            case UInt8(ascii: "#"):
                while at < bytes.count, bytes[at] != UInt8(ascii: "\n") { at += 1 }
            default: return true
            }
        }
        return true
    }

    private func text(_ range: Range<Int>) -> String {
        String(decoding: bytes[range], as: UTF8.self)
    }
}
