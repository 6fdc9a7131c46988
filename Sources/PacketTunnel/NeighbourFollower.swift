import CTunnel
import Glibc
public import Kernel
public import Wire

/// Follows the kernel's neighbour tables (ARP, RFC 826; NDP, RFC 4861): which address belongs to which device on the
/// machine's links. It works in the network namespace of the thread that makes it. One thread; never on a packet's path.
///
/// Source: rtnetlink(7), `struct ndmsg` of `<linux/neighbour.h>`.
public final class NeighbourFollower {
    /// An address and the device that has it.
    public struct Neighbour: Sendable, Equatable {
        public var address: IPAddress
        /// The hardware address, 6 octets.
        public var octets: [UInt8]
    }

    private var events: NetlinkSocket
    private var requests: NetlinkSocket
    private var isFirst = true

    public init() throws(KernelError) {
        // No change after this is missed.
        events = try NetlinkSocket(groups: UInt32(RTMGRP_NEIGH))
        requests = try NetlinkSocket()
    }

    /// The whole tables when they have changed since the last call, else nil. A quiet question is one system call.
    public func poll() throws(KernelError) -> [Neighbour]? {
        guard events.drain() || isFirst else { return nil }
        isFirst = false
        var found: [Neighbour] = []
        try requests.dump(
            NetlinkMessage(RTM_GETNEIGH, flags: NLM_F_DUMP, header: ndmsg()), "list the neighbours"
        ) { reply in
            guard reply.type == RTM_NEWNEIGH else { return }
            let state = Int32(reply.header(8, UInt16.self))
            let attributes = reply.attributes(after: MemoryLayout<ndmsg>.size)
            // What is not resolved has no hardware address, or an old one.
            guard state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP) == 0,
                let address = attributes.address(Int(NDA_DST)),
                let octets = attributes[Int(NDA_LLADDR)], octets.count == 6, !address.isMulticastOrBroadcast
            else { return }
            found.append(Neighbour(address: address, octets: Array(octets)))
        }
        return found
    }
}
