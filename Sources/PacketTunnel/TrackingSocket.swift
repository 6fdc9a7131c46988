import CTunnel
import Glibc
import Kernel
import Wire

/// Orders to the kernel's connection tracking about one flow (ctnetlink). The kernel carries them out before `send` returns,
/// so nothing waits here.
///
/// One thread at a time. Nothing allocates after `init`.
struct TrackingSocket: ~Copyable {
    private let descriptor: Descriptor
    private var message: [UInt8] = []
    private var room = [UInt8](repeating: 0, count: 8192)
    private var sequence: UInt32 = 0

    init() throws(KernelError) {
        descriptor = try Descriptor(ctunnel_netfilter(0), "open a netfilter socket")
        message.reserveCapacity(256)
    }

    /// Changes webtun's part of the mark of a flow's entry. Returns false when there is no entry.
    ///
    /// - Parameter key: as webtun reads it from the TUN. An entry is found by its answers: when this machine has changed where
    ///   the flow goes, that is what its packets on the TUN tell.
    mutating func mark(_ key: FlowKey, _ mark: TrackMark) -> Bool {
        begin(0, key)  // IPCTNL_MSG_CT_NEW: without NLM_F_CREATE it changes what is there
        put32(8, mark.value)  // CTA_MARK
        put32(21, TrackMark.mask)  // CTA_MARK_MASK
        guard send() else { return false }
        // Only a failure is answered.
        return receive() == 0
    }

    /// What is known of a flow.
    mutating func lookup(_ key: FlowKey) -> TrackedEntry? {
        begin(1, key)  // IPCTNL_MSG_CT_GET
        guard send() else { return nil }
        let count = receive()
        guard count > 16 else { return nil }
        var rest = room[..<count]
        guard let reply = NetlinkReply(&rest), reply.type == 1 << 8 else { return nil }
        return TrackedEntry(reply.body)
    }

    // MARK: Messages

    /// The headers, and `CTA_TUPLE_ORIG` of the packets that answer the flow's: the kernel finds an entry by either tuple.
    private mutating func begin(_ type: UInt8, _ key: FlowKey) {
        let isIPv6 = key.source.isIPv6
        message.removeAll(keepingCapacity: true)
        sequence &+= 1
        append32(0)  // the length, in the end
        append(type, 1, UInt8(NLM_F_REQUEST), 0)
        append32(sequence)
        append32(0)
        append(UInt8(isIPv6 ? AF_INET6 : AF_INET), 0, 0, 0)
        let tuple = nest(1)
        let addresses = nest(1)
        put(isIPv6 ? 3 : 1, key.destination)
        put(isIPv6 ? 4 : 2, key.source)
        close(addresses)
        let proto = nest(2)
        put8(1, key.proto)
        switch key.proto {
        case Packet.Number.icmp, Packet.Number.icmpv6:
            let isAsked = key.sourcePort != 0
            put16(isIPv6 ? 7 : 4, isAsked ? key.sourcePort : key.destinationPort)
            put8(isIPv6 ? 8 : 5, isIPv6 ? (isAsked ? 129 : 128) : (isAsked ? 0 : 8))
            put8(isIPv6 ? 9 : 6, 0)
        case Packet.Number.tcp, Packet.Number.udp:
            put16(2, key.destinationPort)
            put16(3, key.sourcePort)
        default: break
        }
        close(proto)
        close(tuple)
    }

    private mutating func append(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        message.append(a)
        message.append(b)
        message.append(c)
        message.append(d)
    }

    /// In host byte order, as netlink's headers.
    private mutating func append32(_ value: UInt32) {
        let value = value.littleEndian
        append(
            UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8),
            UInt8(truncatingIfNeeded: value >> 16), UInt8(truncatingIfNeeded: value >> 24))
    }

    private mutating func header(_ attribute: Int, _ count: Int) {
        append32(UInt32(attribute) << 16 | UInt32(4 + count))
    }

    private mutating func nest(_ attribute: Int) -> Int {
        header(attribute | NetlinkMessage.nested, 0)
        return message.count - 4
    }

    private mutating func close(_ start: Int) { setLength(start) }

    private mutating func setLength(_ at: Int) {
        let count = message.count - at
        message[at] = UInt8(truncatingIfNeeded: count)
        message[at + 1] = UInt8(truncatingIfNeeded: count >> 8)
    }

    private mutating func put8(_ attribute: Int, _ value: UInt8) {
        header(attribute, 1)
        append(value, 0, 0, 0)
    }

    private mutating func put16(_ attribute: Int, _ value: UInt16) {
        header(attribute, 2)
        append(UInt8(value >> 8), UInt8(value & 0xff), 0, 0)
    }

    private mutating func put32(_ attribute: Int, _ value: UInt32) {
        header(attribute, 4)
        append32(value.byteSwapped)
    }

    private mutating func put(_ attribute: Int, _ address: IPAddress) {
        header(attribute, address.byteCount)
        if address.isIPv6 {
            append32(UInt32(truncatingIfNeeded: address.high >> 32).byteSwapped)
            append32(UInt32(truncatingIfNeeded: address.high).byteSwapped)
            append32(UInt32(truncatingIfNeeded: address.low >> 32).byteSwapped)
        }
        append32(UInt32(truncatingIfNeeded: address.low).byteSwapped)
    }

    // MARK: The socket

    private mutating func send() -> Bool {
        setLength(0)
        return unsafe message.withUnsafeBytes {
            unsafe Glibc.send(descriptor.number, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT)) == $0.count
        }
    }

    /// Bytes of the first answer to the last order, in `room`; 0: there is none.
    private mutating func receive() -> Int {
        while true {
            let count = unsafe room.withUnsafeMutableBytes {
                unsafe recv(descriptor.number, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT))
            }
            if count < 0, errno == EINTR || errno == ENOBUFS { continue }
            guard count >= 16 else { return 0 }
            if NetlinkReply.integer(room[..<count], 8, UInt32.self) == sequence { return count }
        }
    }
}
