import Wire

/// The first bytes of one stream as they arrive: in pieces, in any order, again and overlapping. A byte that has arrived
/// stays as it first was.
///
/// The memory belongs to a `PeekPool`: the bytes, then one bit for each that says whether it has arrived. Bits count from
/// `end` on only, so a stream that arrives in order never touches them.
@safe
struct StreamWindow {
    /// A multiple of 64.
    static let byteCount = NamePeek.byteLimit
    static let memoryByteCount = byteCount + byteCount / 8

    private let base: UnsafeMutableRawPointer
    /// Bytes that have arrived from the begin on, without a gap.
    private(set) var end = 0
    /// Behind the last byte that has arrived.
    private var reach = 0
    /// The bits are those of this stream.
    private var isMapped = false

    /// - Parameter base: `memoryByteCount` bytes, aligned to 8; nothing is assumed of what they hold.
    init(base: UnsafeMutableRawPointer) {
        unsafe self.base = base
    }

    /// Forgets everything.
    mutating func clear() {
        end = 0
        reach = 0
        isMapped = false
    }

    /// Whether all of the window has arrived.
    var isFull: Bool { end == StreamWindow.byteCount }

    /// The first `count` bytes, which must have arrived or been moved there.
    @_lifetime(borrow self)
    func bytes(_ count: Int) -> RawSpan {
        precondition(count >= 0 && count <= end)
        let bytes = unsafe RawSpan(_unsafeStart: base, byteCount: count)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// Takes bytes at an offset of the stream; what lies before or behind the window is left out.
    mutating func insert(_ bytes: RawSpan, at offset: Int) {
        let first = max(offset, end)
        let limit = min(offset + bytes.byteCount, StreamWindow.byteCount)
        guard first < limit else { return }
        if reach == end, first == end {
            copy(bytes.part(first - offset, limit - first), to: first)
            end = limit
            reach = limit
            return
        }
        if !isMapped {
            unsafe (base + StreamWindow.byteCount).initializeMemory(
                as: UInt64.self, repeating: 0, count: StreamWindow.byteCount / 64)
            isMapped = true
        }
        var at = next(arrived: false, from: first, to: limit)
        while at < limit {
            let stop = next(arrived: true, from: at, to: limit)
            copy(bytes.part(at - offset, stop - at), to: at)
            mark(at, stop)
            at = next(arrived: false, from: stop, to: limit)
        }
        reach = max(reach, limit)
        end = next(arrived: false, from: end, to: reach)
    }

    /// Moves bytes that have arrived to the front, where a reader gathers them.
    mutating func move(from: Int, to: Int, count: Int) {
        precondition(to >= 0 && to <= from && count >= 0 && from + count <= end)
        unsafe (base + to).copyMemory(from: base + from, byteCount: count)
    }

    private func copy(_ bytes: RawSpan, to offset: Int) {
        precondition(offset >= 0 && offset + bytes.byteCount <= StreamWindow.byteCount)
        unsafe bytes.withUnsafeBytes { source in
            guard let from = source.baseAddress else { return }
            unsafe (base + offset).copyMemory(from: from, byteCount: source.count)
        }
    }

    // MARK: Bits

    private subscript(word: Int) -> UInt64 {
        get {
            precondition(word >= 0 && word < StreamWindow.byteCount / 64)
            return unsafe (base + StreamWindow.byteCount).load(fromByteOffset: word * 8, as: UInt64.self)
        }
        nonmutating set {
            precondition(word >= 0 && word < StreamWindow.byteCount / 64)
            unsafe (base + StreamWindow.byteCount).storeBytes(of: newValue, toByteOffset: word * 8, as: UInt64.self)
        }
    }

    /// The first offset in `from..<to` whose byte has arrived, or has not; `to` when there is none.
    private func next(arrived: Bool, from: Int, to: Int) -> Int {
        var at = from
        while at < to {
            let word = (arrived ? self[at >> 6] : ~self[at >> 6]) >> UInt64(at & 63)
            if word != 0 { return min(at + word.trailingZeroBitCount, to) }
            at = (at | 63) + 1
        }
        return to
    }

    private func mark(_ from: Int, _ to: Int) {
        var at = from
        while at < to {
            let count = min(64 - at & 63, to - at)
            self[at >> 6] |= (count == 64 ? ~0 : (1 << UInt64(count)) - 1) << UInt64(at & 63)
            at += count
        }
    }
}
