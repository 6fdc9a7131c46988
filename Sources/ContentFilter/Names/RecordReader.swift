import Wire

/// Takes the handshake bytes out of TLS records (RFC 8446 section 5.1): they are moved together at the front of the
/// window, however the message is cut into records.
struct RecordReader {
    /// The content type of handshake records, the first byte of a TLS stream.
    static let handshake: UInt8 = 22

    /// The stream offset of the next byte to read.
    private var at = 0
    /// Bytes left of the record that is being read.
    private var left = 0
    /// Handshake bytes at the front of the window.
    private(set) var handshakeByteCount = 0

    /// Reads what has arrived.
    ///
    /// - Returns: `nil`, or why the stream is no handshake.
    mutating func read(_ window: inout StreamWindow) -> NoName? {
        while true {
            if left > 0 {
                let count = min(left, window.end - at)
                if count == 0 { return nil }
                window.move(from: at, to: handshakeByteCount, count: count)
                handshakeByteCount += count
                at += count
                left -= count
            } else {
                guard at + 5 <= window.end else { return nil }
                let header = window.bytes(at + 5)
                // Major version 3 is all of TLS; a record has at most 2^14 bytes.
                guard header.u8(at) == RecordReader.handshake, header.u8(at + 1) == 3, header.u16(at + 3) <= 16_384
                else {
                    return at == 0 ? .otherProtocol : .malformed
                }
                left = Int(header.u16(at + 3))
                at += 5
            }
        }
    }
}
