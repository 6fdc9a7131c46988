/// What the log keeps of an answer: the first addresses and the CNAME chain, at most 64 bytes, held inline.
///
/// Shape: elements one after the other, each a tag byte and its data: `1` and 4 bytes (an A record's address), `28` and
/// 16 bytes (AAAA), `5` and an uncompressed wire-form name (CNAME target). A last tag `0` says that more followed.
/// Tags are the record type numbers. Hot: no allocation. A value; any thread.
public struct AnswerDigest: Sendable {
    public static let capacity = 64

    @usableFromInline var storage: InlineArray<64, UInt8>
    @usableFromInline var used: Int
    @usableFromInline var isCut: Bool

    /// An empty digest: an answer without records.
    @inlinable
    public init() {
        storage = InlineArray(repeating: 0)
        used = 0
        isCut = false
    }

    /// A digest from the bytes of another; what is over the capacity is left out.
    @inlinable
    public init(copying bytes: RawSpan) {
        self.init()
        used = Swift.min(bytes.byteCount, AnswerDigest.capacity)
        var index = 0
        while index < used {
            storage[index] = bytes.u8(index)
            index += 1
        }
    }

    /// The bytes in use, for `QueryRing.push`.
    @inlinable
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get { unsafe storage.span.bytes.extracting(first: used) }
    }

    /// Adds an address. What no longer fits is left out and marked.
    @inlinable
    public mutating func append(_ address: IPAddress) {
        guard reserve(1 + address.byteCount) else { return }
        storage[used] = address.isIPv6 ? 28 : 1
        var bytes = storage.mutableSpan
        var raw = unsafe bytes.mutableBytes
        address.compose(into: &raw, at: used + 1)
        used += 1 + address.byteCount
    }

    /// Adds a CNAME target, an uncompressed wire-form name with the root's byte.
    @inlinable
    public mutating func append(target name: RawSpan) {
        guard reserve(1 + name.byteCount) else { return }
        storage[used] = 5
        var index = 0
        while index < name.byteCount {
            storage[used + 1 + index] = name.u8(index)
            index += 1
        }
        used += 1 + name.byteCount
    }

    /// Whether `count` more bytes fit and leave room for the mark; marks the digest as cut when they do not.
    @inlinable
    mutating func reserve(_ count: Int) -> Bool {
        if isCut { return false }
        if used + count < AnswerDigest.capacity { return true }
        storage[used] = 0
        used += 1
        isCut = true
        return false
    }

    /// Reads the answer section of a DNS message: A, AAAA and CNAME records in their order, others left out.
    /// A broken message gives what was read before the fault.
    public init(message: RawSpan) {
        self.init()
        guard message.byteCount >= Query.headerByteCount else { return }
        var at = Query.headerByteCount
        for _ in 0..<Int(message.u16(4)) {
            at = Query.skipName(message, at)
            guard at > 0, at + 4 <= message.byteCount else { return }
            at += 4
        }
        var target = Name()
        for _ in 0..<Int(message.u16(6)) {
            at = Query.skipName(message, at)
            guard at > 0, at + 10 <= message.byteCount else { return }
            let type = message.u16(at)
            let count = Int(message.u16(at + 8))
            let data = at + 10
            guard data + count <= message.byteCount else { return }
            switch (type, count) {
            case (1, 4): append(IPAddress(message, at: data, isIPv6: false))
            case (28, 16): append(IPAddress(message, at: data, isIPv6: true))
            case (5, _):
                guard AnswerDigest.expand(message, at: data, into: &target) else { return }
                append(target: target.bytes)
            default: break
            }
            at = data + count
        }
    }

    /// Reads a possibly compressed name (RFC 1035 section 4.1.4): pointers must point backwards, so the walk ends.
    private static func expand(_ message: RawSpan, at offset: Int, into name: inout Name) -> Bool {
        var flat = InlineArray<256, UInt8>(repeating: 0)
        var used = 0
        var at = offset
        var limit = offset
        while at < message.byteCount {
            let length = Int(message.u8(at))
            if length >= 0xc0 {
                guard at + 2 <= message.byteCount else { return false }
                let to = Int(message.u16(at) & 0x3fff)
                guard to < limit else { return false }
                at = to
                limit = to
                continue
            }
            guard length < 64, at + 1 + length <= message.byteCount, used + 1 + length <= 255 else { return false }
            for index in 0...length { flat[used + index] = message.u8(at + index) }
            used += 1 + length
            at += 1 + length
            if length == 0 { return name.parse(unsafe flat.span.bytes.extracting(first: used), at: 0) == used }
        }
        return false
    }

    /// The text of a digest: its elements in order between spaces, `…` for what was left out.
    public static func text(_ digest: RawSpan) -> String {
        var parts: [String] = []
        var at = 0
        while at < digest.byteCount {
            let tag = digest.u8(at)
            let rest = digest.byteCount - at - 1
            switch tag {
            case 1 where rest >= 4:
                parts.append(IPAddress(digest, at: at + 1, isIPv6: false).description)
                at += 5
            case 28 where rest >= 16:
                parts.append(IPAddress(digest, at: at + 1, isIPv6: true).description)
                at += 17
            case 5 where rest >= 1:
                let end = Query.skipName(digest, at + 1)
                guard end > 0 else { return parts.joined(separator: " ") }
                parts.append(Name.text(digest.part(at + 1, end - at - 1)))
                at = end
            default:
                parts.append("…")
                at = digest.byteCount
            }
        }
        return parts.joined(separator: " ")
    }
}
