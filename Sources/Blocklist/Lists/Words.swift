/// The words of a line, split at blanks and tabs.
struct Words: ~Escapable {
    private let line: Span<UInt8>
    private var at: Int

    @_lifetime(copy line)
    init(_ line: Span<UInt8>) {
        self.line = line
        at = 0
    }

    /// The range of the next word, or nil at the end or where a comment (`#`) begins.
    ///
    /// - Parameter whole: a `#` within the word belongs to it; only one in front begins a comment.
    @_lifetime(self: copy self)
    mutating func next(whole: Bool = false) -> Range<Int>? {
        while at < line.count && Words.blank(line[at]) { at += 1 }
        guard at < line.count && line[at] != UInt8(ascii: "#") else { return nil }
        let start = at
        while at < line.count && !Words.blank(line[at]) && (whole || line[at] != UInt8(ascii: "#")) { at += 1 }
        return start..<at
    }

    @inline(__always)
    static func blank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0D
    }
}

extension Span<UInt8> {
    /// Whether the bytes begin with those of a text.
    func starts(_ text: StaticString) -> Bool {
        count >= text.utf8CodeUnitCount && extracting(first: text.utf8CodeUnitCount).equals(text)
    }

    /// Whether the bytes are those of a text.
    func equals(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        for index in indices where unsafe self[index] != text.utf8Start[index] { return false }
        return true
    }
}
