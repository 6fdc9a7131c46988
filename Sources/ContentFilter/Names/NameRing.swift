import Wire

/// Names in wire form in a ring of bytes: the oldest are overwritten. Positions count bytes since the start and never
/// wrap, so a position tells whether its name is still there.
struct NameRing: ~Copyable {
    private var bytes: [UInt8]
    /// Behind the last name.
    private var head: UInt64 = 0

    /// - Parameter byteCount: raised to a power of two.
    init(byteCount: Int) {
        var size = 512
        while size < byteCount { size <<= 1 }
        bytes = Array(repeating: 0, count: size)
    }

    /// Adds a name of at most 255 bytes in one piece.
    ///
    /// - Returns: its position.
    mutating func append(_ name: RawSpan) -> UInt64 {
        precondition(name.byteCount <= Name.capacity)
        let size = bytes.count
        let left = size - Int(truncatingIfNeeded: head) & (size - 1)
        if left < name.byteCount { head += UInt64(left) }
        let position = head
        let first = Int(truncatingIfNeeded: head) & (size - 1)
        for index in 0..<name.byteCount { bytes[first + index] = name.u8(index) }
        head += UInt64(name.byteCount)
        return position
    }

    /// The bytes from a position to the end of the ring or 255 bytes on; `nil` when its name has been overwritten.
    subscript(_ position: UInt64) -> RawSpan? {
        @_lifetime(borrow self)
        get {
            let size = bytes.count
            guard position < head, head - position <= UInt64(size) else { return nil }
            let first = Int(truncatingIfNeeded: position) & (size - 1)
            return unsafe bytes.span.bytes.part(first, min(Name.capacity, size - first))
        }
    }

    /// Whether the name is at a position, and in the younger half, so that it stays for a while.
    func keeps(_ name: RawSpan, at position: UInt64) -> Bool {
        guard let found = self[position], head - position <= UInt64(bytes.count / 2) else { return false }
        return found.byteCount >= name.byteCount && found.part(0, name.byteCount).matches(name)
    }
}
