import Wire

/// Lines of hosts files (hosts(5)): an address, then one name or more; `#` begins a comment.
///
/// The unspecified and the loopback addresses mean "block". A line with another address makes local data for its names, of a
/// list that was added with `--records`; of another it is refused. The names every hosts file defines for the machine itself
/// are passed over.
struct HostsParser: LineParser {
    private var name = NameText()

    init() {}

    mutating func parse(_ line: Span<UInt8>, into sink: inout some LineSink & ~Copyable) {
        var words = Words(line)
        guard let first = words.next() else { return }
        let address = HostsParser.address(line.extracting(first))
        guard address != .none else { return sink.refuse(.noAddress) }
        let record = address == .real && sink.takesRecords ? HostsParser.record(line.extracting(first)) : nil
        var any = false
        while let word = words.next() {
            any = true
            let token = line.extracting(word)
            if HostsParser.isLocal(token) {
                sink.skip()
            } else if address == .real {
                guard let record else { return sink.refuse(.realAddress) }
                if let problem = name.parse(token) {
                    sink.refuse(.name(problem))
                } else {
                    sink.entry(name, .exact, record)
                }
            } else if let problem = name.parse(token) {
                sink.refuse(.name(problem))
            } else {
                sink.entry(name, [], nil)
            }
        }
        if !any { sink.refuse(.noName) }
    }

    /// The options of an entry that is answered with an address; nil when the word is none.
    static func record(_ word: Span<UInt8>) -> String? {
        guard let address = IPAddress(String(copying: word)) else { return nil }
        return EntryOptions(answer: .records("\(address.isIPv6 ? "AAAA" : "A") \(address)")).text
    }

    enum Address { case none, null, real }

    /// What kind of address a word is.
    static func address(_ word: Span<UInt8>) -> Address {
        if word.equals("0.0.0.0") || word.equals("127.0.0.1") || word.equals("::") || word.equals("::1")
            || word.equals("0")
        {
            return .null
        }
        var dots = 0
        var colons = 0
        for index in word.indices {
            switch word[index] {
            case UInt8(ascii: "."): dots += 1
            case UInt8(ascii: ":"): colons += 1
            case UInt8(ascii: "0")...UInt8(ascii: "9"): break
            case UInt8(ascii: "%") where colons >= 2: return .real  // A zone: fe80::1%lo0
            case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"):
                // Letters belong to IPv6 addresses only, which have two colons at least.
                if !word.contains(UInt8(ascii: ":")) { return .none }
            default: return .none
            }
        }
        if colons == 0 { return dots == 3 ? HostsParser.dotted(word) : .none }
        guard colons >= 2 else { return .none }
        // Other spellings of :: and ::1, such as 0:0:0:0:0:0:0:1 and ::0.
        var last = UInt8(ascii: "0")
        for index in word.indices where word[index] != UInt8(ascii: ":") {
            guard last == UInt8(ascii: "0"), word[index] == UInt8(ascii: "0") || index == word.count - 1 else {
                return .real
            }
            last = word[index]
        }
        return last == UInt8(ascii: "0") || last == UInt8(ascii: "1") ? .null : .real
    }

    /// Four numbers to 255: a real address, but for the loopback net 127.0.0.0/8 and 0.0.0.0.
    private static func dotted(_ word: Span<UInt8>) -> Address {
        var numbers: [Int] = []
        var number = -1
        for index in 0...word.count {
            if index == word.count || word[index] == UInt8(ascii: ".") {
                guard 0...255 ~= number else { return .none }
                numbers.append(number)
                number = -1
            } else {
                number = max(number, 0) * 10 + Int(word[index] - 0x30)
                guard number <= 255 else { return .none }
            }
        }
        return numbers[0] == 127 || numbers == [0, 0, 0, 0] ? .null : .real
    }

    /// Names that hosts files define for the machine and its networks.
    static func isLocal(_ name: Span<UInt8>) -> Bool {
        guard name.count >= 5 && name.count <= 21 else { return false }
        switch name[0] {
        case UInt8(ascii: "l"):
            return name.equals("localhost") || name.equals("localhost.localdomain") || name.equals("localdomain")
                || name.equals("local") || name.equals("localhost4") || name.equals("localhost6")
                || name.equals("localhost4.localdomain4") || name.equals("localhost6.localdomain6")
        case UInt8(ascii: "b"): return name.equals("broadcasthost")
        case UInt8(ascii: "0"): return name.equals("0.0.0.0")
        case UInt8(ascii: "i"):
            return name.equals("ip6-localhost") || name.equals("ip6-loopback") || name.equals("ip6-localnet")
                || name.equals("ip6-mcastprefix") || name.equals("ip6-allnodes") || name.equals("ip6-allrouters")
                || name.equals("ip6-allhosts")
        default: return false
        }
    }
}

extension Span<UInt8> {
    func contains(_ byte: UInt8) -> Bool {
        for index in indices where self[index] == byte { return true }
        return false
    }
}
