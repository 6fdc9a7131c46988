import Wire

/// Lines of one address or prefix each. `#` begins a comment, and so does `;`, at the line's beginning or behind the prefix;
/// lines that begin with `!` or `//` are comments too.
struct AddressParser: LineParser {
    init() {}

    mutating func parse(_ line: Span<UInt8>, into sink: inout some LineSink & ~Copyable) {
        var words = Words(line)
        guard let word = words.next(), line[word.lowerBound] != UInt8(ascii: "!") else { return }
        var token = line.extracting(word)
        if token.count >= 2 && token[0] == UInt8(ascii: "/") && token[1] == UInt8(ascii: "/") { return }
        var isLast = false
        for index in token.indices where token[index] == UInt8(ascii: ";") {
            token = token.extracting(first: index)
            isLast = true
            break
        }
        if token.isEmpty { return }
        if !isLast, let next = words.next(), line[next.lowerBound] != UInt8(ascii: ";") {
            return sink.refuse(.severalAddresses)
        }
        switch AddressParser.prefix(token) {
        case .success(let prefix) where prefix.length == 0: sink.refuse(.everyAddress)
        case .success(let prefix): sink.address(prefix, [])
        case .failure(let problem): sink.refuse(problem)
        }
    }

    /// Reads an address or a prefix.
    static func prefix(_ token: Span<UInt8>) -> Result<IPPrefix, LineProblem> {
        if let prefix = dotted(token) { return .success(prefix) }
        guard token.count <= 64 else { return .failure(.noPrefix("not an address")) }
        let text = String(decoding: token.indices.map { token[$0] }, as: UTF8.self)
        do {
            return .success(try IPPrefix(text))
        } catch {
            guard case .badPrefix(_, let reason) = error else { return .failure(.noPrefix("not an address")) }
            return .failure(.noPrefix(reason))
        }
    }

    /// A plain IPv4 address or prefix without bits behind it, which most lines are; nil for anything else.
    private static func dotted(_ token: Span<UInt8>) -> IPPrefix? {
        guard token.count <= 18 else { return nil }
        var address: UInt32 = 0
        var number = -1
        var numbers = 0
        var length = 32
        for index in 0...token.count {
            let byte = index < token.count ? token[index] : 0
            if byte &- 0x30 < 10 {
                // Zeros in front mean octal to some: such text is for the slow way to judge.
                guard number != 0 else { return nil }
                number = max(number, 0) * 10 + Int(byte - 0x30)
                guard number <= 255 else { return nil }
                continue
            }
            guard number >= 0 else { return nil }
            if numbers == 4 {
                guard index == token.count, number <= 32 else { return nil }
                length = number
            } else {
                numbers += 1
                address = address << 8 | UInt32(number)
                guard byte == (numbers < 4 ? UInt8(ascii: ".") : UInt8(ascii: "/")) || numbers == 4 && byte == 0 else {
                    return nil
                }
                if index == token.count { break }
            }
            number = -1
        }
        guard numbers == 4, length == 32 || address << UInt32(length) == 0 else { return nil }
        return IPPrefix(IPAddress(v4: address), length: length)
    }
}
