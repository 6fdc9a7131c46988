/// A static symbol table that compresses names: up to 255 strings of one to eight bytes, each written as one byte.
///
/// Every byte of `NameBytes.alphabet` is a symbol of its own, so every name can be encoded, in no more bytes than it
/// has, without escapes. The idea is that of FSST (Boncz, Neumann, Leis: "FSST: Fast Random Access String
/// Compression", VLDB 2020): a string is compared with its compressed form by one masked 64-bit comparison a symbol.
struct SymbolTable: Sendable {
    /// At most this many symbols; code 255 is not used.
    static let capacity = 255

    /// Each symbol's bytes, the first one lowest.
    private(set) var words: [UInt64] = []
    /// Each symbol's length in bytes, 1 to 8.
    private(set) var lengths: [UInt8] = []

    /// For each pair of symbol numbers of `NameBytes`, first × 64 + second: where its candidates begin in `codes`.
    private var heads = [UInt16](repeating: 0, count: 64 * 64 + 1)
    /// The codes of symbols of two bytes and more, by head, the longest first.
    private var codes: [UInt8] = []
    /// The code of each single byte, by its number of `NameBytes`.
    private var singles = [UInt8](repeating: 0, count: 64)

    /// The table of single bytes.
    init() {
        self.init(phrases: [])
    }

    /// - Parameter phrases: symbols of two to eight bytes from the alphabet, all different, at most 216.
    init(phrases: [(word: UInt64, length: Int)]) {
        precondition(phrases.count + NameBytes.alphabet.count <= SymbolTable.capacity)
        for byte in NameBytes.alphabet {
            singles[Int(NameBytes.symbol(byte))] = UInt8(words.count)
            words.append(UInt64(byte))
            lengths.append(1)
        }
        let sorted = phrases.sorted { ($0.length, $0.word) > ($1.length, $1.word) }
        var byHead = [[UInt8]](repeating: [], count: 64 * 64)
        for phrase in sorted {
            byHead[SymbolTable.head(phrase.word)].append(UInt8(words.count))
            words.append(phrase.word)
            lengths.append(UInt8(phrase.length))
        }
        for head in byHead.indices {
            heads[head] = UInt16(codes.count)
            codes += byHead[head]
        }
        heads[64 * 64] = UInt16(codes.count)
    }

    private static func head(_ word: UInt64) -> Int {
        let first = NameBytes.symbol(UInt8(truncatingIfNeeded: word))
        let second = NameBytes.symbol(UInt8(truncatingIfNeeded: word >> 8))
        return Int(first) << 6 | Int(second)
    }

    /// Calls `body` with an encoder that borrows the table's arrays.
    func withEncoder<R, E: Error>(_ body: (borrowing Encoder) throws(E) -> R) throws(E) -> R {
        // Spans would do the same with a bounds check a byte; this is the innermost loop of a compile.
        let result: Result<R, E> = unsafe words.withUnsafeBufferPointer { words in
            unsafe lengths.withUnsafeBufferPointer { lengths in
                unsafe heads.withUnsafeBufferPointer { heads in
                    unsafe codes.withUnsafeBufferPointer { codes in
                        unsafe singles.withUnsafeBufferPointer { singles in
                            let encoder = unsafe Encoder(
                                words: words, lengths: lengths, heads: heads, codes: codes, singles: singles)
                            do throws(E) { return .success(try body(encoder)) } catch { return .failure(error) }
                        }
                    }
                }
            }
        }
        return try result.get()
    }

    /// Finds the symbols of a name, the longest first at each place.
    @safe
    struct Encoder: ~Copyable {
        fileprivate let words: UnsafeBufferPointer<UInt64>
        fileprivate let lengths: UnsafeBufferPointer<UInt8>
        fileprivate let heads: UnsafeBufferPointer<UInt16>
        fileprivate let codes: UnsafeBufferPointer<UInt8>
        fileprivate let singles: UnsafeBufferPointer<UInt8>

        fileprivate init(
            words: UnsafeBufferPointer<UInt64>, lengths: UnsafeBufferPointer<UInt8>,
            heads: UnsafeBufferPointer<UInt16>, codes: UnsafeBufferPointer<UInt8>, singles: UnsafeBufferPointer<UInt8>
        ) {
            unsafe self.words = unsafe words
            unsafe self.lengths = unsafe lengths
            unsafe self.heads = unsafe heads
            unsafe self.codes = unsafe codes
            unsafe self.singles = unsafe singles
        }

        /// The code of the longest symbol at `text`, of which `count` (≥ 1) bytes are left; eight must be readable.
        @inline(__always)
        func next(_ text: UnsafeRawPointer, _ count: Int) -> UInt8 {
            let word = unsafe UInt64(littleEndian: text.loadUnaligned(as: UInt64.self))
            let first = Int(NameBytes.symbol(UInt8(truncatingIfNeeded: word)))
            if count >= 2 {
                let head = first << 6 | Int(NameBytes.symbol(UInt8(truncatingIfNeeded: word >> 8)))
                var candidate = unsafe Int(heads[head])
                let end = unsafe Int(heads[head + 1])
                while candidate < end {
                    let code = unsafe codes[candidate]
                    let length = unsafe Int(lengths[Int(code)])
                    if length <= count {
                        let difference = unsafe (word ^ words[Int(code)]) << UInt64(64 - 8 * length)
                        if difference == 0 { return code }
                    }
                    candidate += 1
                }
            }
            return unsafe singles[first]
        }

        /// The length of a symbol in bytes.
        @inline(__always)
        func length(_ code: UInt8) -> Int {
            unsafe Int(lengths[Int(code)])
        }

        /// Writes the codes of a name to `out` (room for `count`) and returns how many.
        ///
        /// - Parameter text: bytes of the alphabet; eight bytes from the last one must be readable.
        @inline(__always)
        func encode(_ text: UnsafeRawPointer, _ count: Int, into out: UnsafeMutablePointer<UInt8>) -> Int {
            var at = 0
            var written = 0
            while at < count {
                let code = unsafe next(text + at, count - at)
                unsafe out[written] = code
                written += 1
                at += length(code)
            }
            return written
        }
    }
}
