import CTunnel
import Wire

/// One rtnetlink message being composed: `nlmsghdr`, the family's header, attributes, each padded to 4 bytes.
///
/// Source: `rtnetlink(7)`, `<linux/netlink.h>`. Cold path: allocates.
struct NetlinkMessage {
    private(set) var bytes: [UInt8]
    /// Joins the number of an attribute that has attributes in it; netfilter wants it (`NLA_F_NESTED`).
    static let nested = 0x8000

    /// - Parameter header: the family's fixed structure, for instance `ifinfomsg`.
    init<Header: BitwiseCopyable>(_ type: Int, flags: Int32, header: Header) {
        bytes = [UInt8](repeating: 0, count: 16)
        bytes += NetlinkMessage.bytes(of: header)
        set(UInt16(type), at: 4)
        set(UInt16(flags | NLM_F_REQUEST), at: 6)
        finish()
    }

    static func bytes<Value: BitwiseCopyable>(of value: Value) -> [UInt8] {
        unsafe withUnsafeBytes(of: value) { unsafe Array($0) }
    }

    private mutating func set<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) {
        for (index, byte) in NetlinkMessage.bytes(of: value).enumerated() { bytes[offset + index] = byte }
    }

    private mutating func finish() {
        while bytes.count % 4 != 0 { bytes.append(0) }
        set(UInt32(bytes.count), at: 0)
    }

    mutating func number(_ sequence: UInt32) { set(sequence, at: 8) }

    mutating func put(_ attribute: Int, _ value: [UInt8]) {
        bytes += NetlinkMessage.bytes(of: UInt16(4 + value.count)) + NetlinkMessage.bytes(of: UInt16(attribute)) + value
        finish()
    }

    mutating func put<Value: FixedWidthInteger & BitwiseCopyable>(_ attribute: Int, _ value: Value) {
        put(attribute, NetlinkMessage.bytes(of: value))
    }

    mutating func put(_ attribute: Int, _ text: String) {
        put(attribute, Array(text.utf8) + [0])
    }

    mutating func put(_ attribute: Int, _ address: IPAddress) {
        put(attribute, address.networkBytes)
    }

    /// Integers of netfilter are in network byte order.
    mutating func put(netfilter attribute: Int, _ value: UInt32) {
        put(attribute, value.bigEndian)
    }

    /// Attributes within an attribute.
    mutating func nest(_ attribute: Int, _ body: (inout NetlinkMessage) -> Void) {
        let start = bytes.count
        put(attribute, [])
        body(&self)
        set(UInt16(bytes.count - start), at: start)
    }
}

extension IPAddress {
    /// 4 or 16 bytes in network byte order.
    var networkBytes: [UInt8] {
        let low = NetlinkMessage.bytes(of: low.bigEndian)
        return isIPv6 ? NetlinkMessage.bytes(of: high.bigEndian) + low : Array(low[4...])
    }

    /// The address in 4 or 16 bytes, else `nil`.
    init?(networkBytes bytes: ArraySlice<UInt8>) {
        let value = { (part: ArraySlice<UInt8>) in part.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self.init(v4: UInt32(value(bytes)))
        case 16: self.init(high: value(bytes.prefix(8)), low: value(bytes.suffix(8)))
        default: return nil
        }
    }
}

/// One received message: its type, the family's header and its attributes, read with bounds.
struct NetlinkReply {
    let type: Int
    let sequence: UInt32
    /// Everything behind the netlink header.
    let body: ArraySlice<UInt8>

    /// Takes the message at the start of `bytes` and removes it from there; `nil` at the end or when it is cut.
    init?(_ bytes: inout ArraySlice<UInt8>) {
        guard bytes.count >= 16 else { return nil }
        let length = Int(NetlinkReply.integer(bytes, 0, UInt32.self))
        guard length >= 16, length <= bytes.count else { return nil }
        type = Int(NetlinkReply.integer(bytes, 4, UInt16.self))
        sequence = NetlinkReply.integer(bytes, 8, UInt32.self)
        body = bytes.prefix(length).dropFirst(16)
        bytes = bytes.dropFirst((length + 3) & ~3)
    }

    /// An integer in host byte order at an offset, 0 beyond the end.
    static func integer<Value: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>, _ offset: Int, _: Value.Type) -> Value {
        let size = MemoryLayout<Value>.size
        guard bytes.count >= offset + size else { return 0 }
        var value = Value(0)
        var at = bytes.startIndex + offset + size
        while at > bytes.startIndex + offset {
            at -= 1
            value = value << 8 | Value(truncatingIfNeeded: bytes[at])
        }
        return value
    }

    /// An integer of the family's header.
    func header<Value: FixedWidthInteger>(_ offset: Int, _ type: Value.Type) -> Value {
        NetlinkReply.integer(body, offset, type)
    }

    /// The attributes after a family's header of `size` bytes.
    func attributes(after size: Int) -> NetlinkAttributes {
        NetlinkAttributes(body.dropFirst((size + 3) & ~3))
    }
}

/// The attributes of a message, or those nested in one.
struct NetlinkAttributes {
    private var values: [Int: ArraySlice<UInt8>] = [:]

    init(_ bytes: ArraySlice<UInt8>) {
        NetlinkAttributes.walk(bytes) { values[$0] = $1 }
    }

    /// Gives the number and the value of each attribute to `body`, up to one that is cut. Allocates nothing.
    static func walk(_ bytes: ArraySlice<UInt8>, _ body: (Int, ArraySlice<UInt8>) -> Void) {
        var rest = bytes
        while rest.count >= 4 {
            let length = Int(NetlinkReply.integer(rest, 0, UInt16.self))
            guard length >= 4, length <= rest.count else { return }
            body(Int(NetlinkReply.integer(rest, 2, UInt16.self)) & 0x3fff, rest.prefix(length).dropFirst(4))
            rest = rest.dropFirst((length + 3) & ~3)
        }
    }

    subscript(_ attribute: Int) -> ArraySlice<UInt8>? { values[attribute] }

    func integer<Value: FixedWidthInteger>(_ attribute: Int, _ type: Value.Type) -> Value? {
        guard let value = values[attribute], value.count >= MemoryLayout<Value>.size else { return nil }
        return NetlinkReply.integer(value, 0, type)
    }

    func text(_ attribute: Int) -> String? {
        values[attribute].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    func address(_ attribute: Int) -> IPAddress? {
        values[attribute].flatMap { IPAddress(networkBytes: $0) }
    }

    func nested(_ attribute: Int) -> NetlinkAttributes {
        NetlinkAttributes(values[attribute] ?? [])
    }
}
