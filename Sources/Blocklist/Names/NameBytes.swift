/// The bytes a stored name may hold: lower-case letters, digits, hyphen, underscore, and the dot between labels.
///
/// Names are kept as text: A-labels, lower case, no trailing dot, at most 253 bytes, labels of 1 to 63 bytes
/// (RFC 1035 section 2.3.4). Host names proper (RFC 952, RFC 1123 section 2.1) have no underscore; service names do
/// (RFC 8552), and lists hold both.
enum NameBytes {
    static let dot = UInt8(ascii: ".")
    /// Longest name as text.
    static let longest = 253
    static let longestLabel = 63

    /// The small number of a byte in a stored name, 1 to 39; 0 for a byte that no stored name has.
    @inline(__always)
    static func symbol(_ byte: UInt8) -> UInt8 {
        switch byte {
        case 0x61...0x7A: byte - 0x60
        case 0x30...0x39: byte - 0x30 + 27
        case 0x2D: 37
        case 0x2E: 38
        case 0x5F: 39
        default: 0
        }
    }

    /// Every byte a stored name may hold.
    static let alphabet: [UInt8] = (0...255).filter { symbol($0) != 0 }
}
