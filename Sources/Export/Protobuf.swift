internal import Wire

/// Fields of Protocol Buffers (Encoding, "Message Structure"), appended one by one.
struct Protobuf {
    var bytes: [UInt8] = []

    private mutating func tag(_ field: Int, _ wireType: UInt64) {
        Varint.append(UInt64(field) << 3 | wireType, to: &bytes)
    }

    /// A varint: integers and enumerations.
    mutating func add(_ field: Int, _ value: UInt64) {
        tag(field, 0)
        Varint.append(value, to: &bytes)
    }

    /// 32 bits, little endian.
    mutating func add(_ field: Int, fixed value: UInt32) {
        tag(field, 5)
        for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift))) }
    }

    mutating func add(_ field: Int, _ value: RawSpan) {
        tag(field, 2)
        Varint.append(UInt64(value.byteCount), to: &bytes)
        unsafe value.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
    }

    mutating func add(_ field: Int, _ value: [UInt8]) {
        tag(field, 2)
        Varint.append(UInt64(value.count), to: &bytes)
        bytes += value
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
    }
}
