/// A set of bytes.
struct ByteSet: Equatable, Hashable {
    private var words = InlineWords()

    private struct InlineWords: Equatable, Hashable {
        var a: UInt64 = 0
        var b: UInt64 = 0
        var c: UInt64 = 0
        var d: UInt64 = 0
    }

    init() {}

    init(_ range: ClosedRange<UInt8>) {
        for byte in range { insert(byte) }
    }

    init(_ text: String) {
        for byte in text.utf8 { insert(byte) }
    }

    func contains(_ byte: UInt8) -> Bool {
        let word =
            switch byte >> 6 {
            case 0: words.a
            case 1: words.b
            case 2: words.c
            default: words.d
            }
        return word >> UInt64(byte & 63) & 1 != 0
    }

    mutating func insert(_ byte: UInt8) {
        let bit: UInt64 = 1 << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: words.a |= bit
        case 1: words.b |= bit
        case 2: words.c |= bit
        default: words.d |= bit
        }
    }

    mutating func formUnion(_ other: ByteSet) {
        words.a |= other.words.a
        words.b |= other.words.b
        words.c |= other.words.c
        words.d |= other.words.d
    }

    var inverted: ByteSet {
        var set = ByteSet()
        set.words = InlineWords(a: ~words.a, b: ~words.b, c: ~words.c, d: ~words.d)
        return set
    }

    /// The set with the small letter beside (or instead of) every capital: names are matched in lower case.
    var lowered: ByteSet {
        var set = self
        for byte in UInt8(ascii: "A")...UInt8(ascii: "Z") where contains(byte) { set.insert(byte | 0x20) }
        return set
    }
}
