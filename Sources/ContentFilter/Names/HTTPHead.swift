import Wire

/// Looks for the host of an HTTP/1 request (RFC 9112) while its head arrives: the authority of an absolute or CONNECT
/// target, else the Host field. Each byte is looked at once.
///
/// As lenient as servers are: empty lines before the request, lines that end in a bare LF (section 2.2), space before a
/// field's colon.
struct HTTPHead {
    /// Bytes of a method at most; a longer word is no HTTP.
    private static let methodLimit = 32

    /// The begin of the line that is being read.
    private var line = 0
    private var scanned = 0
    /// The offset of the request line's first space; 0 before.
    private var space = 0
    private var isRequestRead = false

    /// - Parameters:
    ///   - head: the bytes from the begin, more with each call.
    ///   - name: becomes the name when it is found.
    mutating func read(_ head: RawSpan, into name: inout Name) -> Reading {
        while scanned < head.byteCount {
            let byte = head.u8(scanned)
            scanned += 1
            if byte != UInt8(ascii: "\n") {
                if !isRequestRead, !takes(byte, at: scanned - 1) { return .none(.otherProtocol) }
                continue
            }
            var end = scanned - 1
            if end > line, head.u8(end - 1) == UInt8(ascii: "\r") { end -= 1 }
            let text = head.part(line, end - line)
            let reading = isRequestRead ? field(text, &name) : request(text, &name)
            if reading != .more { return reading }
            line = scanned
        }
        return .more
    }

    /// Whether a byte may stand at its place in a request line: a method is a token, and no line has control characters.
    private mutating func takes(_ byte: UInt8, at offset: Int) -> Bool {
        if space > 0 { return byte >= 32 || byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\t") }
        if byte == UInt8(ascii: "\r") { return offset == line }
        if byte == UInt8(ascii: " ") {
            space = offset
            return offset > line
        }
        return offset - line < HTTPHead.methodLimit && HTTPHead.isTokenByte(byte)
    }

    /// `tchar` of RFC 9110 section 5.6.2.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case 33, 35...39, 42, 43, 45, 46, 94...96, 124, 126: true
        default: false
        }
    }

    // MARK: Lines

    private mutating func request(_ text: RawSpan, _ name: inout Name) -> Reading {
        if text.byteCount == 0 { return .more }
        let method = space - line
        guard space > line, let target = HTTPHead.target(text, method) else { return .none(.otherProtocol) }
        isRequestRead = true
        if HTTPHead.has(text.part(0, method), prefix: "connect"), method == 7 {
            return HTTPHead.read(authority: target, &name)
        }
        let scheme = HTTPHead.has(target, prefix: "http://") ? 7 : HTTPHead.has(target, prefix: "https://") ? 8 : 0
        return scheme == 0 ? .more : HTTPHead.read(authority: HTTPHead.authority(target.from(scheme)), &name)
    }

    /// What stands between the method and a version of HTTP/1; `nil` when the line does not end in one.
    @_lifetime(copy text)
    private static func target(_ text: RawSpan, _ method: Int) -> RawSpan? {
        let text = trimmed(text)
        let version = text.byteCount - 8
        guard version > method + 1, has(text.from(version), prefix: "http/1."), isSpace(text.u8(version - 1)) else {
            return nil
        }
        let target = trimmed(text.part(method, version - method))
        return target.byteCount > 0 ? target : nil
    }

    /// A URI's authority without user information (RFC 3986 section 3.2), from behind its two slashes.
    @_lifetime(copy uri)
    private static func authority(_ uri: RawSpan) -> RawSpan {
        var first = 0
        var at = 0
        loop: while at < uri.byteCount {
            switch uri.u8(at) {
            case UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#"): break loop
            case UInt8(ascii: "@"): first = at + 1
            default: break
            }
            at += 1
        }
        return uri.part(first, at - first)
    }

    private func field(_ text: RawSpan, _ name: inout Name) -> Reading {
        if text.byteCount == 0 { return .none(.unnamed) }
        guard HTTPHead.has(text, prefix: "host") else { return .more }
        var at = 4
        while at < text.byteCount, HTTPHead.isSpace(text.u8(at)) { at += 1 }
        guard at < text.byteCount, text.u8(at) == UInt8(ascii: ":") else { return .more }
        return HTTPHead.read(authority: HTTPHead.trimmed(text.from(at + 1)), &name)
    }

    /// Host and optional port (RFC 3986 sections 3.2.2 and 3.2.3).
    private static func read(authority: RawSpan, _ name: inout Name) -> Reading {
        var count = authority.byteCount
        if count == 0 { return .none(.unnamed) }
        if authority.u8(0) == UInt8(ascii: "[") { return .none(.address) }
        for at in 0..<count where authority.u8(at) == UInt8(ascii: ":") {
            count = at
            break
        }
        return Reading(name.parse(host: authority.part(0, count)))
    }

    // MARK: Text

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 }

    /// Without spaces and tabs at both ends.
    @_lifetime(copy text)
    private static func trimmed(_ text: RawSpan) -> RawSpan {
        var (first, end) = (0, text.byteCount)
        while first < end, isSpace(text.u8(first)) { first += 1 }
        while end > first, isSpace(text.u8(end - 1)) { end -= 1 }
        return text.part(first, end - first)
    }

    /// - Parameter prefix: ASCII, in lower case; the text may have it in any.
    private static func has(_ text: RawSpan, prefix: StaticString) -> Bool {
        guard text.byteCount >= prefix.utf8CodeUnitCount else { return false }
        return prefix.withUTF8Buffer { expected in
            for at in 0..<expected.count where unsafe Name.lower(text.u8(at)) != expected[at] { return false }
            return true
        }
    }
}
