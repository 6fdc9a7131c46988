/// A domain name in wire form (RFC 1035 section 3.1): labels with a length byte each, the root's zero byte at the end,
/// no compression, letters in lower case, at most 255 bytes. Held inline: no allocation.
public struct Name: Sendable {
    public static let capacity = 255

    @usableFromInline var storage: InlineArray<256, UInt8>
    @usableFromInline var usedBytes: Int
    @usableFromInline var usedLabels: Int

    /// The root.
    @inlinable
    public init() {
        storage = InlineArray(repeating: 0)
        usedBytes = 1
        usedLabels = 0
    }

    /// Bytes in use, with the root's; 1 for the root.
    @inlinable public var byteCount: Int { usedBytes }

    /// Labels without the root.
    @inlinable public var labels: Int { usedLabels }

    /// The bytes in use.
    @inlinable
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get { unsafe storage.span.bytes.extracting(first: usedBytes) }
    }

    /// Reads the name at `offset` of a message, without following compression pointers, and lowers its letters.
    ///
    /// - Returns: the offset behind the name, or -1 when the name is cut, over 255 bytes, or not plain labels; the
    ///   value is then the root.
    @inlinable
    public mutating func parse(_ message: RawSpan, at offset: Int) -> Int {
        let limit = Swift.min(message.byteCount - offset, Name.capacity)
        var at = 0
        var count = 0
        while at < limit {
            let length = Int(message.u8(offset + at))
            if length == 0 {
                storage[at] = 0
                set(byteCount: at + 1, labels: count)
                return offset + at + 1
            }
            guard length < 64, at + length + 1 < limit else { break }
            storage[at] = UInt8(truncatingIfNeeded: length)
            var index = at + 1
            let end = at + 1 + length
            while index < end {
                storage[index] = Name.lower(message.u8(offset + index))
                index += 1
            }
            at = end
            count += 1
        }
        storage[0] = 0
        set(byteCount: 1, labels: 0)
        return -1
    }

    @inlinable
    mutating func set(byteCount: Int, labels: Int) {
        usedBytes = byteCount
        usedLabels = labels
    }

    /// An ASCII capital as a small letter; other bytes as they are (RFC 4343).
    @inlinable @inline(__always)
    public static func lower(_ byte: UInt8) -> UInt8 {
        byte &- 65 < 26 ? byte | 0x20 : byte
    }
}

extension Name: Equatable {
    public static func == (left: Name, right: Name) -> Bool {
        left.bytes.matches(right.bytes)
    }
}

// MARK: - Text, off the hot path

extension Name: CustomStringConvertible, LosslessStringConvertible {
    /// The presentation form without the last dot (`.` for the root); bytes that are not printable are `\DDD`, dots and
    /// backslashes inside a label are escaped (RFC 1035 section 5.1).
    public var description: String { Name.text(bytes) }

    /// The presentation form of an uncompressed wire-form name, without the last dot. A cut name ends where it is cut.
    public static func text(_ wire: RawSpan) -> String {
        var text: [UInt8] = []
        var at = 0
        while at < wire.byteCount, wire.u8(at) != 0 {
            if at > 0 { text.append(UInt8(ascii: ".")) }
            let end = Swift.min(at + 1 + Int(wire.u8(at)), wire.byteCount)
            for index in at + 1..<end {
                let byte = wire.u8(index)
                switch byte {
                case UInt8(ascii: "."), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
                case 33...126: text.append(byte)
                default: text += [92, 48 + byte / 100, 48 + byte / 10 % 10, 48 + byte % 10]
                }
            }
            at = end
        }
        return text.isEmpty ? "." : String(decoding: text, as: UTF8.self)
    }

    /// Reads the presentation form, with or without the last dot. `nil` for an empty label, a label over 63 bytes, a name
    /// over 255, a bad escape, or a byte outside ASCII (give IDNs as A-labels).
    public init?(_ text: String) {
        self.init()
        if text == "." { return }
        guard let labels = Name.splitLabels(Array(text.utf8)) else { return nil }
        var at = 0
        for label in labels {
            guard (1...63).contains(label.count), at + label.count + 2 <= Name.capacity else { return nil }
            storage[at] = UInt8(label.count)
            for (index, byte) in label.enumerated() { storage[at + 1 + index] = Name.lower(byte) }
            at += label.count + 1
        }
        storage[at] = 0
        set(byteCount: at + 1, labels: labels.count)
    }

    private static func splitLabels(_ text: [UInt8]) -> [[UInt8]]? {
        var labels: [[UInt8]] = [[]]
        var at = 0
        while at < text.count {
            var byte = text[at]
            at += 1
            if byte == UInt8(ascii: ".") {
                labels.append([])
                continue
            }
            guard byte < 128 else { return nil }
            if byte == UInt8(ascii: "\\") {
                guard at < text.count else { return nil }
                byte = text[at]
                at += 1
                if byte >= 48, byte <= 57 {
                    guard at + 2 <= text.count,
                        let value = UInt8(String(decoding: text[at - 1..<at + 2], as: UTF8.self))
                    else { return nil }
                    byte = value
                    at += 2
                }
            }
            labels[labels.count - 1].append(byte)
        }
        if labels.count > 1, labels[labels.count - 1].isEmpty { labels.removeLast() }
        return labels
    }
}
