import CNettle
import Wire

/// Takes the protection off Initial packets (RFC 9001 sections 5.3 and 5.4): AES-128 for the header, AES-128-GCM for the
/// payload. One thread; memory is allocated once.
@safe
struct InitialOpener: ~Copyable {
    private static let sampleByteCount = 16
    private static let tagByteCount = 16

    private let gcm: UnsafeMutablePointer<gcm_aes128_ctx>
    private let block: UnsafeMutablePointer<aes128_ctx>
    /// A packet, opened: its header without protection, then its payload.
    private let room: UnsafeMutablePointer<UInt8>
    private static let roomByteCount = 65_536
    /// Where the payload begins and ends in the room.
    private var payload = 0..<0

    init() {
        unsafe gcm = .allocate(capacity: 1)
        unsafe block = .allocate(capacity: 1)
        unsafe room = .allocate(capacity: InitialOpener.roomByteCount)
    }

    deinit {
        unsafe gcm.deallocate()
        unsafe block.deallocate()
        unsafe room.deallocate()
    }

    /// The frames of the packet opened last.
    var frames: RawSpan {
        @_lifetime(borrow self)
        get {
            let bytes = unsafe RawSpan(_unsafeStart: room + payload.lowerBound, byteCount: payload.count)
            return unsafe _overrideLifetime(bytes, borrowing: self)
        }
    }

    /// Opens a packet; its frames are then in `frames`.
    ///
    /// - Parameters:
    ///   - packet: the bytes from the first of the header to the end of the packet.
    ///   - number: the offset of the packet number in it.
    /// - Returns: whether the packet is whole and authentic under these keys.
    mutating func open(_ packet: RawSpan, number: Int, keys: InitialKeys) -> Bool {
        let minimum = number + 4 + InitialOpener.sampleByteCount
        guard packet.byteCount >= minimum, packet.byteCount <= InitialOpener.roomByteCount else { return false }
        return unsafe packet.withUnsafeBytes { bytes in
            let start = unsafe bytes.assumingMemoryBound(to: UInt8.self).baseAddress
            guard let start = unsafe start else { return false }
            return unsafe open(start, bytes.count, number, keys)
        }
    }

    private mutating func open(
        _ packet: UnsafePointer<UInt8>, _ byteCount: Int, _ number: Int, _ keys: InitialKeys
    ) -> Bool {
        // The header, and what protects it.
        var mask = [16 of UInt8](repeating: 0)
        unsafe keys.headerKey.span.withUnsafeBufferPointer { key in
            unsafe nettle_aes128_set_encrypt_key(block, key.baseAddress)
        }
        var maskSpan = mask.mutableSpan
        unsafe maskSpan.withUnsafeMutableBufferPointer { buffer in
            unsafe nettle_aes128_encrypt(block, buffer.count, buffer.baseAddress, packet + number + 4)
        }
        let first = unsafe packet[0] ^ (mask[0] & 0x0f)
        let numberByteCount = Int(first & 3) + 1
        let header = number + numberByteCount
        let count = byteCount - header - InitialOpener.tagByteCount
        guard count >= 0 else { return false }
        unsafe room.update(from: packet, count: number)
        unsafe room[0] = first
        var nonce = keys.iv
        for index in 0..<numberByteCount {
            let byte = unsafe packet[number + index] ^ mask[1 + index]
            unsafe room[number + index] = byte
            // Initials are numbered from the begin, so what is on the wire is the whole number.
            nonce[12 - numberByteCount + index] ^= byte
        }
        // The payload.
        unsafe keys.key.span.withUnsafeBufferPointer { key in
            unsafe nettle_gcm_aes128_set_key(gcm, key.baseAddress)
        }
        unsafe nonce.span.withUnsafeBufferPointer { nonce in
            unsafe nettle_gcm_aes128_set_iv(gcm, nonce.count, nonce.baseAddress)
        }
        unsafe nettle_gcm_aes128_update(gcm, header, room)
        unsafe nettle_gcm_aes128_decrypt(gcm, count, room + header, packet + header)
        var tag = [16 of UInt8](repeating: 0)
        var tagSpan = tag.mutableSpan
        unsafe tagSpan.withUnsafeMutableBufferPointer { buffer in
            unsafe nettle_gcm_aes128_digest(gcm, buffer.count, buffer.baseAddress)
        }
        payload = header..<header + count
        return unsafe tag.span.withUnsafeBufferPointer { tag in
            unsafe nettle_memeql_sec(tag.baseAddress, packet + header + count, tag.count) != 0
        }
    }
}
