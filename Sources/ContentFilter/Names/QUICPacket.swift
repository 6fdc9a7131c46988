import Wire

/// The layout of one QUIC packet with a long header, of version 1 (RFC 9000 section 17.2) or 2 (RFC 9369 section 3).
struct QUICPacket: Equatable {
    enum Version: UInt32 {
        case v1 = 0x0000_0001
        case v2 = 0x6b33_43cf
    }

    var version: Version
    /// An Initial; else 0-RTT or Handshake, which only say where the next packet begins.
    var isInitial: Bool
    /// The first byte of the header.
    var begin: Int
    /// The destination connection ID.
    var destination: Int
    var destinationByteCount: Int
    /// Where the protected packet number begins.
    var number: Int
    /// Behind the packet; the next one of the datagram may begin there.
    var end: Int

    /// Reads a header up to the packet number.
    ///
    /// The fixed bit is not looked at: clients may have reason to clear it (RFC 9287).
    ///
    /// - Returns: `nil` for a short header, another version, a Retry, and where lengths go beyond the datagram.
    init?(_ datagram: RawSpan, at offset: Int) {
        guard offset + 7 <= datagram.byteCount, datagram.u8(offset) & 0x80 != 0,
            let version = Version(rawValue: datagram.u32(offset + 1))
        else { return nil }
        self.version = version
        // Initial, 0-RTT, Handshake, Retry are 0, 1, 2, 3 in version 1 and one more, modulo 4, in version 2.
        let type = (datagram.u8(offset) >> 4 &- (version == .v2 ? 1 : 0)) & 3
        isInitial = type == 0
        begin = offset
        destination = offset + 6
        destinationByteCount = Int(datagram.u8(offset + 5))
        var at = destination + destinationByteCount
        guard type != 3, destinationByteCount <= 20, at < datagram.byteCount else { return nil }
        let source = Int(datagram.u8(at))
        at += 1 + source
        guard source <= 20 else { return nil }
        if isInitial {
            guard let token = QUICPacket.integer(datagram, &at), token <= datagram.byteCount else { return nil }
            at += token
        }
        guard let count = QUICPacket.integer(datagram, &at), count <= datagram.byteCount - at else { return nil }
        number = at
        end = at + count
    }

    /// A variable-length integer (RFC 9000 section 16); `at` moves behind it. `nil` when it is cut.
    static func integer(_ bytes: RawSpan, _ at: inout Int) -> Int? {
        guard at < bytes.byteCount else { return nil }
        let first = bytes.u8(at)
        let count = 1 << Int(first >> 6)
        guard at + count <= bytes.byteCount else { return nil }
        var value = Int(first & 0x3f)
        for index in 1..<count { value = value << 8 | Int(bytes.u8(at + index)) }
        at += count
        return value
    }
}
