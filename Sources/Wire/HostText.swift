extension Name {
    /// What text in the place of a host is.
    public enum HostText: Sendable {
        case name
        /// An IPv4 or IPv6 address, or what a URL parser takes for one.
        case address
        /// Anything else: no letters, digits, hyphens, underscores and dots only, or a label or the whole too long.
        case malformed
    }

    /// Reads a host as protocols write it: ASCII labels between dots, with or without the last dot (RFC 952, RFC 1123
    /// section 2.1, and the underscore, which is in use). Its letters are lowered.
    ///
    /// What ends in a number is an address (WHATWG URL, "ends in a number checker"), and so is what has two colons or more
    /// and else only hexadecimal digits and dots. The value is the root unless the result is `.name`.
    public mutating func parse(host: RawSpan) -> HostText {
        let kind = read(host: host)
        if kind != .name {
            storage[0] = 0
            set(byteCount: 1, labels: 0)
        }
        return kind
    }

    private mutating func read(host: RawSpan) -> HostText {
        var count = host.byteCount
        if count > 1, host.u8(count - 1) == UInt8(ascii: ".") { count -= 1 }
        guard count > 0 else { return .malformed }
        guard count + 2 <= Name.capacity else { return .malformed }
        var label = 0
        var labels = 1
        for at in 0...count {
            let byte = at < count ? host.u8(at) : UInt8(ascii: ".")
            if byte == UInt8(ascii: ".") {
                guard at > label, at - label < 64 else { return .malformed }
                storage[label] = UInt8(truncatingIfNeeded: at - label)
                if at == count { break }
                label = at + 1
                labels += 1
            } else {
                guard Name.isHostByte(byte) else { return Name.isIPv6Text(host) ? .address : .malformed }
                storage[at + 1] = Name.lower(byte)
            }
        }
        if Name.isNumber(host.part(label, count - label)) { return .address }
        storage[count + 1] = 0
        set(byteCount: count + 2, labels: labels)
        return .name
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        lower(byte) &- 97 < 26 || isDigit(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 }
    private static func isHexadecimal(_ byte: UInt8) -> Bool { isDigit(byte) || lower(byte) &- 97 < 6 }

    /// All digits, or `0x` and hexadecimal digits.
    private static func isNumber(_ label: RawSpan) -> Bool {
        let isHexadecimal =
            label.byteCount >= 2 && label.u8(0) == UInt8(ascii: "0") && lower(label.u8(1)) == UInt8(ascii: "x")
        var at = isHexadecimal ? 2 : 0
        while at < label.byteCount {
            let byte = label.u8(at)
            guard isDigit(byte) || isHexadecimal && Name.isHexadecimal(byte) else { return false }
            at += 1
        }
        return true
    }

    private static func isIPv6Text(_ text: RawSpan) -> Bool {
        var colons = 0
        for at in 0..<text.byteCount {
            let byte = text.u8(at)
            if byte == UInt8(ascii: ":") {
                colons += 1
            } else if !isHexadecimal(byte), byte != UInt8(ascii: ".") {
                return false
            }
        }
        return colons >= 2
    }
}
