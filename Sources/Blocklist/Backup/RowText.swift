/// A value of a row, as SQLite has it.
enum RowValue: Equatable {
    case null
    case integer(Int64)
    case real(Double)
    /// UTF-8.
    case text([UInt8])
    case blob([UInt8])
}

/// A row as a line: a JSON array (RFC 8259) of numbers, strings and null; a blob is `{"hex":"…"}`.
enum RowText {
    // MARK: Compose

    static func append(_ value: Int64, to line: inout [UInt8]) {
        line += "\(value)".utf8
    }

    /// A number with a fraction or an exponent, so that it is read as what it is.
    static func append(_ value: Double, to line: inout [UInt8]) {
        guard value.isFinite else { return line.append(contentsOf: "null".utf8) }
        line += "\(value)".utf8
    }

    static func append(_ text: UnsafeBufferPointer<UInt8>, to line: inout [UInt8]) {
        line.append(UInt8(ascii: "\""))
        for index in text.indices {
            let byte = unsafe text[index]
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                line.append(UInt8(ascii: "\\"))
                line.append(byte)
            case 0..<0x20, 0x7F:
                line += "\\u00".utf8
                hex(byte, &line)
            default: line.append(byte)
            }
        }
        line.append(UInt8(ascii: "\""))
    }

    static func append(blob: UnsafeBufferPointer<UInt8>, to line: inout [UInt8]) {
        line += "{\"hex\":\"".utf8
        for index in blob.indices { unsafe hex(blob[index], &line) }
        line += "\"}".utf8
    }

    private static func hex(_ byte: UInt8, _ line: inout [UInt8]) {
        for digit in [byte >> 4, byte & 15] { line.append(digit < 10 ? 0x30 + digit : 0x57 + digit) }
    }

    // MARK: Parse

    struct Problem: Error {
        /// From 0.
        var column: Int
        var reason: String
    }

    /// Reads a row into `values`, whose room is used again.
    static func parse(_ line: ArraySlice<UInt8>, into values: inout [RowValue]) throws(Problem) {
        values.removeAll(keepingCapacity: true)
        var parser = Parser(line: line, at: line.startIndex)
        try parser.take(UInt8(ascii: "["))
        if parser.peek == UInt8(ascii: "]") {
            parser.at += 1
        } else {
            while true {
                values.append(try parser.value())
                if parser.peek == UInt8(ascii: ",") {
                    parser.at += 1
                } else {
                    try parser.take(UInt8(ascii: "]"))
                    break
                }
            }
        }
        guard parser.at == line.endIndex else { throw parser.problem("more behind the row") }
    }

    private struct Parser {
        let line: ArraySlice<UInt8>
        var at: Int

        var peek: UInt8? { at < line.endIndex ? line[at] : nil }

        func problem(_ reason: String) -> Problem { Problem(column: at - line.startIndex, reason: reason) }

        mutating func take(_ byte: UInt8) throws(Problem) {
            guard peek == byte else { throw problem("'\(Character(Unicode.Scalar(byte)))' is missing") }
            at += 1
        }

        mutating func take(_ word: StaticString) throws(Problem) {
            for byte in "\(word)".utf8 { try take(byte) }
        }

        mutating func value() throws(Problem) -> RowValue {
            switch peek {
            case UInt8(ascii: "n"):
                try take("null")
                return .null
            case UInt8(ascii: "\""): return .text(try string())
            case UInt8(ascii: "{"):
                try take("{\"hex\":")
                let place = self
                let digits = try string()
                guard digits.count % 2 == 0 else { throw place.problem("an odd number of hexadecimal digits") }
                var bytes: [UInt8] = []
                for index in stride(from: 0, to: digits.count, by: 2) {
                    guard let byte = UInt8(String(decoding: digits[index..<index + 2], as: UTF8.self), radix: 16) else {
                        throw place.problem("no hexadecimal digits")
                    }
                    bytes.append(byte)
                }
                try take(UInt8(ascii: "}"))
                return .blob(bytes)
            default: return try number()
            }
        }

        private mutating func number() throws(Problem) -> RowValue {
            let begin = at
            while let byte = peek, "+-.0123456789eE".utf8.contains(byte) { at += 1 }
            let text = String(decoding: line[begin..<at], as: UTF8.self)
            if text.first != "+", let integer = Int64(text) { return .integer(integer) }
            guard text.first != "+", let real = Double(text), real.isFinite else {
                at = begin
                throw problem("no value")
            }
            return .real(real)
        }

        private mutating func string() throws(Problem) -> [UInt8] {
            try take(UInt8(ascii: "\""))
            var text: [UInt8] = []
            while let byte = peek {
                switch byte {
                case UInt8(ascii: "\""):
                    at += 1
                    return text
                case UInt8(ascii: "\\"):
                    at += 1
                    try escape(&text)
                case 0..<0x20: throw problem("a control character in a string")
                default:
                    text.append(byte)
                    at += 1
                }
            }
            throw problem("the string does not end")
        }

        private mutating func escape(_ text: inout [UInt8]) throws(Problem) {
            let plain: [UInt8: UInt8] = [
                0x22: 0x22, 0x5C: 0x5C, 0x2F: 0x2F, 0x62: 0x08, 0x66: 0x0C, 0x6E: 0x0A, 0x72: 0x0D, 0x74: 0x09,
            ]
            guard let byte = peek else { throw problem("the string does not end") }
            if let value = plain[byte] {
                text.append(value)
                at += 1
                return
            }
            guard byte == UInt8(ascii: "u"), at + 5 <= line.endIndex,
                let code = UInt32(String(decoding: line[at + 1..<at + 5], as: UTF8.self), radix: 16),
                let scalar = Unicode.Scalar(code)
            else { throw problem("an escape that is not used here") }
            text += UTF8.encode(scalar)!
            at += 5
        }
    }
}
