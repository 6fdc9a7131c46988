/// An IPv4 or IPv6 address as integers in host order: cheap to copy, compare and hash.
public struct IPAddress: Hashable, Sendable {
    /// The upper 64 bits of an IPv6 address; 0 for IPv4.
    public let high: UInt64
    /// The lower 64 bits of an IPv6 address; the 32 bits of an IPv4 address.
    public let low: UInt64
    public let isIPv6: Bool

    /// An IPv4 address from its 32 bits in host order.
    @inlinable
    public init(v4: UInt32) {
        high = 0
        low = UInt64(v4)
        isIPv6 = false
    }

    /// An IPv6 address from its halves in host order.
    @inlinable
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
        isIPv6 = true
    }

    /// Reads 4 bytes (IPv4) or 16 bytes (IPv6) in network byte order at `offset`.
    @inlinable
    public init(_ bytes: RawSpan, at offset: Int, isIPv6: Bool) {
        if isIPv6 {
            self.init(high: bytes.u64(offset), low: bytes.u64(offset + 8))
        } else {
            self.init(v4: bytes.u32(offset))
        }
    }

    /// 4 or 16 bytes.
    @inlinable
    public var byteCount: Int { isIPv6 ? 16 : 4 }

    /// Writes 4 or 16 bytes in network byte order at `offset`.
    @inlinable
    public func compose(into bytes: inout MutableRawSpan, at offset: Int) {
        if isIPv6 {
            bytes.put64(offset, high)
            bytes.put64(offset + 8, low)
        } else {
            bytes.put32(offset, UInt32(truncatingIfNeeded: low))
        }
    }

    /// 127.0.0.0/8 or ::1.
    public var isLoopback: Bool {
        isIPv6 ? high == 0 && low == 1 : low >> 24 == 127
    }

    /// 0.0.0.0 or ::.
    public var isUnspecified: Bool { high == 0 && low == 0 }

    /// fe80::/10 or 169.254.0.0/16.
    public var isLinkLocal: Bool {
        isIPv6 ? high >> 54 == 0xfe80 >> 6 : low >> 16 == 0xa9fe
    }

    /// 224.0.0.0/4, the limited broadcast, or ff00::/8.
    public var isMulticastOrBroadcast: Bool {
        isIPv6 ? high >> 56 == 0xff : low >> 28 == 0xe || low == 0xffff_ffff
    }
}

extension IPAddress: CustomStringConvertible, LosslessStringConvertible {
    /// Dotted decimal, or the canonical text of RFC 5952 (lower case, the longest run of zero groups as `::`).
    public var description: String {
        guard isIPv6 else {
            return "\(low >> 24 & 255).\(low >> 16 & 255).\(low >> 8 & 255).\(low & 255)"
        }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> (48 - 16 * UInt64($0 % 4))) }
        var run = 0..<0
        var start = 0
        while start < 8 {
            guard groups[start] == 0 else {
                start += 1
                continue
            }
            let end = groups[start...].firstIndex { $0 != 0 } ?? 8
            if end - start > run.count { run = start..<end }
            start = end
        }
        let text = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
        guard run.count >= 2 else { return text(groups[...]) }
        return text(groups[..<run.lowerBound]) + "::" + text(groups[run.upperBound...])
    }

    /// Parses dotted decimal (four numbers without leading zeros) or IPv6 text (RFC 4291 section 2.2), no zone.
    public init?(_ text: String) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let halves = IPAddress.parseIPv6(text) else { return nil }
            self.init(high: halves.0, low: halves.1)
        } else {
            guard let value = IPAddress.parseIPv4(text[...]) else { return nil }
            self.init(v4: value)
        }
    }

    private static func parseIPv4(_ text: Substring) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard part.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), part.count <= 3, let byte = UInt8(part),
                part.count == 1 || part.first != "0"
            else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    private static func parseIPv6(_ text: String) -> (UInt64, UInt64)? {
        let (head, tail): (Substring, Substring?)
        var gap: String.Index?
        var at = text.startIndex
        while at < text.endIndex {
            let next = text.index(after: at)
            if text[at] == ":", next < text.endIndex, text[next] == ":" {
                if gap != nil { return nil }
                gap = at
                at = next
            }
            at = text.index(after: at)
        }
        if let gap {
            head = text[..<gap]
            tail = text[text.index(gap, offsetBy: 2)...]
        } else {
            head = text[...]
            tail = nil
        }
        guard let front = groups(head, isLast: tail == nil), let back = groups(tail ?? "", isLast: true) else {
            return nil
        }
        let zeros = 8 - front.count - back.count
        guard tail == nil ? zeros == 0 : zeros >= 1 else { return nil }
        let all = front + [UInt16](repeating: 0, count: zeros) + back
        let join = { (part: ArraySlice<UInt16>) in part.reduce(UInt64(0)) { $0 << 16 | UInt64($1) } }
        return (join(all[..<4]), join(all[4...]))
    }

    /// - Parameter isLast: the address ends here, so the last two groups may be an IPv4 address.
    private static func groups(_ text: Substring, isLast: Bool) -> [UInt16]? {
        if text.isEmpty { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if part.utf8.contains(UInt8(ascii: ".")) {
                guard isLast, index == parts.count - 1, let value = parseIPv4(part) else { return nil }
                groups += [UInt16(value >> 16), UInt16(truncatingIfNeeded: value)]
            } else {
                guard (1...4).contains(part.utf8.count), part.first != "+", let group = UInt16(part, radix: 16) else {
                    return nil
                }
                groups.append(group)
            }
        }
        return groups.count <= 8 ? groups : nil
    }
}
