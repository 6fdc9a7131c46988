/// Guesses what a file is from its first lines.
enum FormatDetector {
    private static let sample = 500

    /// The format that most of the first lines are typical of; of one name a line nothing is typical: `domains`.
    ///
    /// - Throws: `BlocklistError.listRefused` for what is a list of no known format, saying what it looks like.
    static func detect(_ head: Span<UInt8>, path: String) throws(BlocklistError) -> ListFormat {
        var typical: [ListFormat: Int] = [:]
        var lines = 0
        var zones = 0
        var policies = 0
        var start = 0
        while start < head.count && lines < sample {
            var end = start
            while end < head.count && head[end] != 0x0A { end += 1 }
            let line = head.extracting(start..<end)
            start = end + 1
            if line.starts("[Adblock") || line.starts("[AdGuard") { return .adblock }
            if line.starts("$TTL") || line.starts("$ORIGIN") { zones += 1 }
            if isPolicy(line) { policies += 1 }
            var words = Words(line)
            guard let first = words.next(), !comment(line[first.lowerBound]) else { continue }
            lines += 1
            let isMore = words.next().map { line[$0.lowerBound] != UInt8(ascii: ";") } ?? false
            if let format = typicalFormat(line, first, isMore: isMore) {
                typical[format, default: 0] += 1
            }
        }
        if policies > 0 && (zones > 0 || policies * 2 >= lines) { return .rpz }
        if zones > 0 {
            throw .listRefused(
                path, "looks like a zone file without a policy; --format rpz takes its records as local data")
        }
        guard let (format, count) = typical.max(by: { $0.value < $1.value }), count * 2 >= lines else {
            return .domains
        }
        return format
    }

    /// Whether a line is a record that policy zones alone have: a CNAME to the root, a wildcard or an action.
    private static func isPolicy(_ line: Span<UInt8>) -> Bool {
        var words = Words(line)
        while let word = words.next() {
            guard line.extracting(word).equals("CNAME") || line.extracting(word).equals("cname") else { continue }
            guard let next = words.next() else { return false }
            let target = line.extracting(next)
            return target.equals(".") || target.equals("*.") || target.starts("rpz-")
        }
        return false
    }

    /// What a line is typical of, but for lines of one name.
    private static func typicalFormat(_ line: Span<UInt8>, _ word: Range<Int>, isMore: Bool) -> ListFormat? {
        let token = line.extracting(word)
        if token.starts("||") || token.starts("@@") || token.starts("|http") { return .adblock }
        if token.starts("address=/") || token.starts("server=/") || token.starts("local=/") { return .dnsmasq }
        if token.starts("local-zone:") || token.starts("local-data:") { return .unbound }
        if isMore { return HostsParser.address(token) != .none ? .hosts : nil }
        return isAddress(token) ? .ip : nil
    }

    /// Whether a word is an address or a prefix, what follows a `;` aside.
    private static func isAddress(_ word: Span<UInt8>) -> Bool {
        let end = word.indices.first { word[$0] == UInt8(ascii: ";") } ?? word.count
        guard case .success = AddressParser.prefix(word.extracting(first: end)) else { return false }
        return true
    }

    /// Refuses what is no text, and web pages, whatever the format asked for.
    static func check(_ head: Span<UInt8>, path: String) throws(BlocklistError) {
        guard head.count > 0 else { throw .listRefused(path, "the file is empty") }
        if head.count >= 2 {
            switch (head[0], head[1]) {
            case (0xFF, 0xFE), (0xFE, 0xFF):
                throw .listRefused(path, "UTF-16 text; convert it to UTF-8 first, for example with iconv")
            case (0x1F, 0x8B), (0x28, 0xB5), (0x42, 0x5A), (0xFD, 0x37), (0x50, 0x4B):
                if compressed(head) { throw .listRefused(path, "compressed; unpack it first") }
            default: break
            }
        }
        var at = 0
        if head.count >= 3 && head[0] == 0xEF && head[1] == 0xBB && head[2] == 0xBF { at = 3 }
        while at < head.count && (Words.blank(head[at]) || head[at] == 0x0A) { at += 1 }
        if at < head.count && head[at] == UInt8(ascii: "<") {
            throw .listRefused(path, "line \(line(of: at, head)): a web page or XML, not a list")
        }
    }

    /// Two letters can begin a name, "BZ" and "PK" too: look further.
    private static func compressed(_ head: Span<UInt8>) -> Bool {
        let binary = (0..<min(head.count, 32)).contains { index in
            let byte = head[index]
            return byte < 0x20 && byte != 0x09 && byte != 0x0A && byte != 0x0D
        }
        return head[0] == 0x1F || head[0] == 0xFD || binary
    }

    private static func line(of place: Int, _ head: Span<UInt8>) -> Int {
        (0..<place).reduce(1) { $0 + (head[$1] == 0x0A ? 1 : 0) }
    }

    private static func comment(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "!") || byte == UInt8(ascii: ";") || byte == UInt8(ascii: "/")
    }
}
