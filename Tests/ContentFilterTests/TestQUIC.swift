import CNettle
import TestPackets

@testable import ContentFilter
@testable import Wire

/// Composes the protected Initials of a client (RFC 9001 section 5), with keys of the code under test, which has to agree
/// with the RFCs' first.
struct TestQUIC {
    var version = QUICPacket.Version.v1
    /// What the keys are derived from, when it is not `destination`.
    var keys: [UInt8]?
    var destination = [UInt8](repeating: 0xd1, count: 8)
    var source: [UInt8] = []
    var token: [UInt8] = []

    static func integer(_ value: Int) -> [UInt8] {
        if value < 64 { return [UInt8(value)] }
        if value < 16_384 { return [UInt8(0x40 | value >> 8), UInt8(value & 255)] }
        return [UInt8(0x80 | value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    static func crypto(_ offset: Int, _ bytes: [UInt8]) -> [UInt8] {
        [6] + integer(offset) + integer(bytes.count) + bytes
    }

    /// The same packet without the length of an absent token, as in 0-RTT.
    static func withoutToken(_ packet: [UInt8]) -> [UInt8] {
        let token = 6 + Int(packet[5]) + 1 + Int(packet[6 + Int(packet[5])])
        precondition(packet[token] == 0)
        return Array(packet[..<token] + packet[(token + 1)...])
    }

    /// - Parameter number: written in two bytes.
    func initial(number: Int, _ frames: [UInt8]) -> [UInt8] {
        let frames = frames + [UInt8](repeating: 0, count: max(0, 4 - frames.count))
        let secret = self.keys ?? destination
        let keys = InitialKeys(version: version, destination: secret.span.bytes)
        let type: UInt8 = version == .v1 ? 0 : 1
        let number: [UInt8] = TestPackets.big16(number)
        var header: [UInt8] = [0xc0 | type << 4 | 1]
        header += TestPackets.big32(Int(version.rawValue))
        header += TestHello.vector(1, destination)
        header += TestHello.vector(1, source)
        header += TestQUIC.integer(token.count)
        header += token
        header += TestQUIC.integer(2 + frames.count + 16)
        header += number
        var key = (0..<16).map { keys.key[$0] }
        var nonce = (0..<12).map { keys.iv[$0] }
        nonce[10] ^= number[0]
        nonce[11] ^= number[1]
        var context = gcm_aes128_ctx()
        var sealed = [UInt8](repeating: 0, count: frames.count + 16)
        nettle_gcm_aes128_set_key(&context, &key)
        nettle_gcm_aes128_set_iv(&context, 12, &nonce)
        nettle_gcm_aes128_update(&context, header.count, header)
        nettle_gcm_aes128_encrypt(&context, frames.count, &sealed, frames)
        var tag = [UInt8](repeating: 0, count: 16)
        nettle_gcm_aes128_digest(&context, 16, &tag)
        sealed.replaceSubrange(frames.count..., with: tag)
        // The sample begins four bytes behind the begin of the number, which has two.
        let sample = Array(sealed[2..<18])
        var block = aes128_ctx()
        var mask = [UInt8](repeating: 0, count: 16)
        key = (0..<16).map { keys.headerKey[$0] }
        nettle_aes128_set_encrypt_key(&block, &key)
        nettle_aes128_encrypt(&block, 16, &mask, sample)
        header[0] ^= mask[0] & 0x0f
        header[header.count - 2] ^= mask[1]
        header[header.count - 1] ^= mask[2]
        return header + sealed
    }
}
