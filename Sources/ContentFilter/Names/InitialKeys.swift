import CNettle
import Wire

/// The keys of a client's Initial packets (RFC 9001 section 5.2, RFC 9369 section 3.3): anyone who sees the first packet
/// can derive them.
struct InitialKeys: Equatable {
    var version: QUICPacket.Version
    /// AES-128's key for the payload.
    var key = [16 of UInt8](repeating: 0)
    var iv = [12 of UInt8](repeating: 0)
    /// The key of header protection.
    var headerKey = [16 of UInt8](repeating: 0)

    private typealias Digest = InlineArray<32, UInt8>

    /// - Parameter destination: the destination connection ID of the client's first Initial, at most 20 bytes.
    init(version: QUICPacket.Version, destination: RawSpan) {
        self.version = version
        let initial = unsafe InitialKeys.hash(key: InitialKeys.salt(version).span.bytes, destination)
        let client = InitialKeys.expand(initial, "client in", byteCount: 32)
        let isV2 = version == .v2
        let key = InitialKeys.expand(client, isV2 ? "quicv2 key" : "quic key", byteCount: 16)
        let iv = InitialKeys.expand(client, isV2 ? "quicv2 iv" : "quic iv", byteCount: 12)
        let headerKey = InitialKeys.expand(client, isV2 ? "quicv2 hp" : "quic hp", byteCount: 16)
        for index in 0..<16 {
            self.key[index] = key[index]
            self.headerKey[index] = headerKey[index]
        }
        for index in 0..<12 { self.iv[index] = iv[index] }
    }

    private static func salt(_ version: QUICPacket.Version) -> InlineArray<20, UInt8> {
        switch version {
        case .v1:
            [
                0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
                0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
            ]
        case .v2:
            [
                0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
                0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
            ]
        }
    }

    /// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1). One round of HKDF-Expand (RFC 5869 section 2.3) gives
    /// 32 bytes, of which the first `byteCount` count.
    private static func expand(_ secret: Digest, _ label: StaticString, byteCount: UInt8) -> Digest {
        let prefix: InlineArray<6, UInt8> = [0x74, 0x6c, 0x73, 0x31, 0x33, 0x20]  // "tls13 "
        var info = [32 of UInt8](repeating: 0)
        info[1] = byteCount
        info[2] = UInt8(truncatingIfNeeded: 6 + label.utf8CodeUnitCount)
        for index in 0..<6 { info[3 + index] = prefix[index] }
        for index in 0..<label.utf8CodeUnitCount { info[9 + index] = unsafe label.utf8Start[index] }
        let count = 9 + label.utf8CodeUnitCount  // and 0, the length of the context
        info[count + 1] = 1
        return unsafe hash(key: secret.span.bytes, info.span.bytes.extracting(first: count + 2))
    }

    /// HMAC-SHA256.
    private static func hash(key: RawSpan, _ message: RawSpan) -> Digest {
        var context = hmac_sha256_ctx()
        var digest = Digest(repeating: 0)
        unsafe key.withUnsafeBytes { bytes in
            let start = unsafe bytes.assumingMemoryBound(to: UInt8.self).baseAddress
            unsafe nettle_hmac_sha256_set_key(&context, bytes.count, start)
        }
        unsafe message.withUnsafeBytes { bytes in
            let start = unsafe bytes.assumingMemoryBound(to: UInt8.self).baseAddress
            unsafe nettle_hmac_sha256_update(&context, bytes.count, start)
        }
        var span = digest.mutableSpan
        unsafe span.withUnsafeMutableBufferPointer { buffer in
            unsafe nettle_hmac_sha256_digest(&context, buffer.count, buffer.baseAddress)
        }
        return digest
    }

    static func == (left: InitialKeys, right: InitialKeys) -> Bool {
        unsafe left.version == right.version && left.key.span.bytes.matches(right.key.span.bytes)
            && left.iv.span.bytes.matches(right.iv.span.bytes)
            && left.headerKey.span.bytes.matches(right.headerKey.span.bytes)
    }
}
