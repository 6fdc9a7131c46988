/// Integers in network byte order, read from borrowed bytes. Every read is bounds-checked and traps outside the span:
/// callers check `byteCount` first and report a short packet as a value.
extension RawSpan {
    @inlinable @inline(__always)
    public func u8(_ offset: Int) -> UInt8 {
        unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    @inlinable @inline(__always)
    public func u16(_ offset: Int) -> UInt16 {
        unsafe UInt16(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    @inlinable @inline(__always)
    public func u32(_ offset: Int) -> UInt32 {
        unsafe UInt32(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    @inlinable @inline(__always)
    public func u64(_ offset: Int) -> UInt64 {
        unsafe UInt64(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The bytes from `offset` to the end.
    @inlinable @inline(__always)
    @_lifetime(copy self)
    public func from(_ offset: Int) -> RawSpan {
        extracting(droppingFirst: offset)
    }

    /// `count` bytes from `offset`.
    @inlinable @inline(__always)
    @_lifetime(copy self)
    public func part(_ offset: Int, _ count: Int) -> RawSpan {
        extracting(offset..<offset + count)
    }

    /// Whether both spans hold the same bytes.
    @inlinable
    public func matches(_ other: RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        var at = 0
        while at + 8 <= byteCount {
            if u64(at) != other.u64(at) { return false }
            at += 8
        }
        while at < byteCount {
            if u8(at) != other.u8(at) { return false }
            at += 1
        }
        return true
    }
}

/// Integers in network byte order, written in place. Every write is bounds-checked and traps outside the span.
extension MutableRawSpan {
    @inlinable @inline(__always)
    public mutating func put8(_ offset: Int, _ value: UInt8) {
        storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
    }

    @inlinable @inline(__always)
    public mutating func put16(_ offset: Int, _ value: UInt16) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }

    @inlinable @inline(__always)
    public mutating func put32(_ offset: Int, _ value: UInt32) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
    }

    @inlinable @inline(__always)
    public mutating func put64(_ offset: Int, _ value: UInt64) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
    }

    /// Copies all bytes of `source` to `offset`.
    @inlinable
    public mutating func put(_ offset: Int, _ source: RawSpan) {
        precondition(offset >= 0 && offset <= byteCount - source.byteCount)
        unsafe withUnsafeMutableBytes { target in
            unsafe source.withUnsafeBytes { bytes in
                guard let from = bytes.baseAddress, let to = target.baseAddress else { return }
                unsafe (to + offset).copyMemory(from: from, byteCount: bytes.count)
            }
        }
    }

    @inlinable @inline(__always)
    public func get8(_ offset: Int) -> UInt8 {
        bytes.u8(offset)
    }

    @inlinable @inline(__always)
    public func get16(_ offset: Int) -> UInt16 {
        bytes.u16(offset)
    }
}
