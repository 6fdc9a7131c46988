import Glibc

/// A query name made ready for lookups in scratch memory: as text, with the places of its labels.
@safe
struct QueryText {
    /// Scratch memory: the text (255 bytes and 16 zeros or more behind it), then the labels' places, then room for
    /// `SuffixBatch`.
    static let scratch = 416 + SuffixBatch.size
    private static let placesAt = 288
    private static let batchAt = 416

    private let base: UnsafeMutableRawPointer
    /// Labels, 0 for the root.
    let labels: Int
    /// Where the text ends: the place of the root's byte, which is 0.
    let end: Int

    /// - Parameters:
    ///   - name: wire form in lower case, with the root's byte.
    ///   - memory: `scratch` bytes that outlive the value.
    /// - Returns: nil when the name is not well-formed.
    @inline(__always)
    init?(_ name: RawSpan, _ memory: UnsafeMutableRawBufferPointer) {
        let size = name.byteCount
        guard size >= 1 && size <= 255 else { return nil }
        let base = memory.baseAddress!
        unsafe name.withUnsafeBytes { unsafe _ = memcpy(base, $0.baseAddress!, size) }
        var at = 0
        var count = 0
        while true {
            let length = unsafe Int(base.load(fromByteOffset: at, as: UInt8.self))
            if length == 0 { break }
            guard length <= NameBytes.longestLabel, at + length + 1 < size else { return nil }
            unsafe base.storeBytes(of: UInt8(at), toByteOffset: QueryText.placesAt + count, as: UInt8.self)
            unsafe base.storeBytes(of: NameBytes.dot, toByteOffset: at, as: UInt8.self)
            at += length + 1
            count += 1
        }
        guard at == size - 1 else { return nil }
        unsafe base.storeBytes(of: 0, toByteOffset: size, as: UInt64.self)
        unsafe base.storeBytes(of: 0, toByteOffset: size + 8, as: UInt64.self)
        unsafe self.base = unsafe base
        labels = count
        end = at
    }

    /// Where label `index` (from the left) begins.
    @inline(__always)
    func place(_ index: Int) -> Int {
        unsafe Int(base.load(fromByteOffset: QueryText.placesAt + index, as: UInt8.self)) + 1
    }

    /// The text from a place on.
    @inline(__always)
    func text(_ place: Int) -> UnsafeRawPointer {
        unsafe UnsafeRawPointer(base + place)
    }

    /// Room for suffixes of the name.
    @inline(__always)
    var batch: SuffixBatch { unsafe SuffixBatch(base + QueryText.batchAt) }

    /// Whether the name is another, or below it.
    ///
    /// - Parameter name: its text, `length` bytes.
    func isBelow(_ name: UnsafeRawPointer, _ length: Int) -> Bool {
        let start = end - length
        // The name's text begins at 1; a dot stands before each label, and one in front of the first.
        guard length > 0, start >= 1, unsafe base.load(fromByteOffset: start - 1, as: UInt8.self) == NameBytes.dot
        else {
            return false
        }
        return unsafe memcmp(base + start, name, length) == 0
    }
}
