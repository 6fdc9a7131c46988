/// One name as it is stored: see `NameBytes`. A buffer to be filled again and again.
struct NameText {
    /// Room for the longest name and a byte more.
    private(set) var bytes = [UInt8](repeating: 0, count: NameBytes.longest + 1)
    private(set) var count = 0

    /// The stored bytes.
    var span: Span<UInt8> {
        @_lifetime(borrow self)
        get { bytes.span.extracting(first: count) }
    }

    var string: String { String(decoding: bytes[..<count], as: UTF8.self) }

    /// Takes a name as people and lists write it: any case, with or without the last dot, IDNs in Unicode.
    ///
    /// - Returns: why it is no name, or nil.
    mutating func parse(_ token: Span<UInt8>) -> NameProblem? {
        count = 0
        var end = token.count
        if end > 1 && token[end - 1] == NameBytes.dot { end -= 1 }
        guard end > 0 else { return .empty }
        var start = 0
        var numeric = true
        for index in 0..<end {
            var byte = token[index]
            if byte &- 0x41 < 26 { byte |= 0x20 }
            if byte == NameBytes.dot {
                guard index > start else { return .emptyLabel }
                start = index + 1
                numeric = true
            } else if NameBytes.symbol(byte) == 0 {
                return byte < 0x80 ? problem(token, byte) : international(token)
            } else if byte &- 0x30 > 9 {
                numeric = false
            }
            guard index - start < NameBytes.longestLabel else { return .labelTooLong }
            guard index < NameBytes.longest else { return .tooLong }
            bytes[index] = byte
        }
        guard end > start else { return .emptyLabel }
        // No top-level domain is a number, so such a thing is an address (RFC 1123 section 2.1).
        guard !numeric else { return .address }
        count = end
        return nil
    }

    /// Says what a token with a byte is that no name has.
    private func problem(_ token: Span<UInt8>, _ byte: UInt8) -> NameProblem {
        let text = String(decoding: (0..<min(token.count, 256)).map { token[$0] }, as: UTF8.self)
        if text.contains("://") { return .url }
        if byte == UInt8(ascii: ":") && text.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) { return .address }
        return .badCharacter(byte)
    }

    private mutating func international(_ token: Span<UInt8>) -> NameProblem? {
        for index in 0..<token.count where token[index] < 0x80 {
            let byte = token[index]
            if NameBytes.symbol(byte &- 0x41 < 26 ? byte | 0x20 : byte) == 0 { return problem(token, byte) }
        }
        switch IDNA.ascii((0..<token.count).map { token[$0] }) {
        case .failure(let problem): return problem
        case .success(let ascii):
            // The result is ASCII: this does not come back here.
            guard ascii.allSatisfy({ $0 < 0x80 }) else { return .notIDN }
            return parse(ascii.span)
        }
    }
}

/// Why some bytes are not a name.
enum NameProblem: Error, Equatable, CustomStringConvertible {
    case empty
    case emptyLabel
    case labelTooLong
    case tooLong
    case badCharacter(UInt8)
    case address
    case url
    case notUTF8
    case notIDN

    var description: String {
        switch self {
        case .empty: "no name"
        case .emptyLabel: "a label is empty (two dots, or a dot in front)"
        case .labelTooLong: "a label is longer than 63 bytes"
        case .tooLong: "the name is longer than 253 bytes"
        case .badCharacter(let byte):
            0x21...0x7E ~= byte
                ? "the character '\(Character(Unicode.Scalar(byte)))' cannot be in a name"
                : "the byte 0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16)) cannot be in a name"
        case .address: "an address, not a name"
        case .url: "a URL, not a name"
        case .notUTF8: "not valid UTF-8"
        case .notIDN: "not a valid internationalised name (UTS 46)"
        }
    }
}
