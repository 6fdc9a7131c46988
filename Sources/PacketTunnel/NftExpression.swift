/// A step of a rule of nftables, over its first register (`<linux/netfilter/nf_tables.h>`). Values are as they stand in the
/// register.
enum NftExpression {
    /// `ct mark`, in host byte order.
    case connectionMark
    /// A key of `NFT_META_*`: 6 the name of the incoming link in 16 bytes, 15 the family, `NFPROTO_*` in one.
    case meta(UInt32)
    /// Bytes of the IP header.
    case payload(offset: Int, count: Int)
    /// 1 when an IPv6 packet has a fragment header, in one byte.
    case hasFragmentHeader
    /// What kind of address the source or the destination is, `RTN_*` in host byte order.
    case sourceType, destinationType
    /// Keeps the bits of the register that are set here.
    case mask([UInt8])
    /// The rule goes on when the register has, or has not, this value.
    case isEqual([UInt8])
    case isDifferent([UInt8])
    case load([UInt8])
    /// The register becomes the packet's mark.
    case setMark
    case notrack

    /// Adds it to a rule's list of expressions.
    func put(into list: inout NetlinkMessage) {
        list.nest(1 | NetlinkMessage.nested) {
            $0.put(1, name)
            guard hasData else { return }
            $0.nest(2 | NetlinkMessage.nested, put(data:))
        }
    }

    private var hasData: Bool { if case .notrack = self { false } else { true } }

    private var name: String {
        switch self {
        case .connectionMark: "ct"
        case .meta, .setMark: "meta"
        case .payload: "payload"
        case .hasFragmentHeader: "exthdr"
        case .sourceType, .destinationType: "fib"
        case .mask: "bitwise"
        case .isEqual, .isDifferent: "cmp"
        case .load: "immediate"
        case .notrack: "notrack"
        }
    }

    private func put(data: inout NetlinkMessage) {
        func value(_ attribute: Int, _ bytes: [UInt8]) {
            data.nest(attribute | NetlinkMessage.nested) { $0.put(1, bytes) }
        }
        func numbers(_ values: (Int, UInt32)...) {
            for (attribute, value) in values { data.put(netfilter: attribute, value) }
        }
        switch self {
        case .connectionMark: numbers((1, 1), (2, 3))
        case .meta(let key): numbers((1, 1), (2, key))
        case .payload(let offset, let count): numbers((1, 1), (2, 1), (3, UInt32(offset)), (4, UInt32(count)))
        case .hasFragmentHeader:
            numbers((1, 1))
            data.put(2, UInt8(44))
            numbers((3, 0), (4, 1), (5, 1), (6, 0))
        case .sourceType: numbers((1, 1), (2, 3), (3, 1))
        case .destinationType: numbers((1, 1), (2, 3), (3, 2))
        case .mask(let bits):
            numbers((1, 1), (2, 1), (3, UInt32(bits.count)))
            value(4, bits)
            value(5, [UInt8](repeating: 0, count: bits.count))
        case .isEqual(let bytes):
            numbers((1, 1), (2, 0))
            value(3, bytes)
        case .isDifferent(let bytes):
            numbers((1, 1), (2, 1))
            value(3, bytes)
        case .load(let bytes):
            numbers((1, 1))
            value(2, bytes)
        case .setMark: numbers((2, 3), (3, 1))
        case .notrack: break
        }
    }
}
