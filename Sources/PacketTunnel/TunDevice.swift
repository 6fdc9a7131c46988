import CTunnel
import Glibc
public import Kernel
import Wire

/// A TUN device: made when opened, gone when the value ends (or the process, however it ends).
///
/// Every packet, read or written, is preceded by a `virtio_net_hdr` of 10 bytes. Packets are whole IP packets; a TCP
/// or, where `offloads` has it, UDP super-packet can have up to 65,535 bytes.
///
/// One thread. Reading and writing allocate nothing and never wait.
public struct TunDevice: ~Copyable, Sendable {
    /// What the kernel may hand over in one piece.
    public struct Offloads: OptionSet, Sendable {
        public let rawValue: CInt
        public init(rawValue: CInt) { self.rawValue = rawValue }
        /// Packets without checksum, and TCP super-packets.
        public static let tcp = Offloads(rawValue: CTUNNEL_TSO)
        /// UDP super-packets (Linux 6.2).
        public static let udp = Offloads(rawValue: CTUNNEL_USO)
    }

    /// Bytes before each packet.
    public static let headerByteCount = Int(CTUNNEL_HEADER)

    public let name: String
    public let ifindex: UInt32
    public let offloads: Offloads
    /// False when IPv6 is switched off on this machine: the TUN then has no IPv6 address.
    public let hasIPv6: Bool
    @usableFromInline let descriptor: Descriptor

    /// Makes the device, gives it its addresses and MTU and brings it up.
    public init(_ request: CaptureRequest) throws(CaptureError) {
        let descriptor = try TunDevice.create(request.tun)
        let ifindex = unsafe if_nametoindex(request.tun)
        do {
            var netlink = try NetlinkSocket()
            hasIPv6 = try TunDevice.configure(request, ifindex, &netlink)
        } catch {
            throw .from(error)
        }
        name = request.tun
        self.ifindex = ifindex
        offloads = request.offloads ? Offloads(rawValue: max(0, ctunnel_offload(descriptor.number))) : []
        self.descriptor = descriptor
    }

    private static func create(_ name: String) throws(CaptureError) -> Descriptor {
        try check(name)
        let result = unsafe ctunnel_open(name, 1)
        switch -result {
        case ENODEV: throw .noTunDriver
        case EPERM, EACCES: throw .noRights("open /dev/net/tun")
        case EBUSY: throw .deviceInUse(name)
        case EINVAL: throw .badDeviceName(name)
        default: break
        }
        do {
            return try Descriptor(result, "create \(name)")
        } catch {
            throw .from(error)
        }
    }

    private static func check(_ name: String) throws(CaptureError) {
        let bytes = name.utf8
        guard (1...15).contains(bytes.count), name != ".", name != "..",
            bytes.allSatisfy({ $0 > 0x20 && $0 != 0x2f && $0 != 0x25 && $0 != 0x3a && $0 != 0x7f })
        else { throw .badDeviceName(name) }
    }

    /// Returns whether the device got its IPv6 address.
    private static func configure(
        _ request: CaptureRequest, _ ifindex: UInt32, _ netlink: inout NetlinkSocket
    ) throws(KernelError) -> Bool {
        let name = request.tun
        var link = NetlinkMessage(RTM_NEWLINK, flags: NLM_F_ACK, header: ifinfomsg(index: ifindex))
        let mtu = request.mtu ?? usualMTU
        link.put(IFLA_MTU, mtu)
        link.put(IFLA_TXQLEN, queueLength)
        try netlink.request(link, "set the MTU of \(name) to \(mtu)")
        let addresses = request.addresses
        try netlink.request(
            NetlinkMessage(address: addresses.near4, peer: addresses.far4, ifindex: ifindex),
            "give \(name) the address \(addresses.near4)")
        var quiet = NetlinkMessage(RTM_NEWLINK, flags: NLM_F_ACK, header: ifinfomsg(index: ifindex))
        quiet.nest(IFLA_AF_SPEC) { $0.nest(Int(AF_INET6)) { $0.put(IFLA_INET6_ADDR_GEN_MODE, noLinkLocal) } }
        var hasIPv6 = (try? netlink.request(quiet, "keep \(name) from making addresses")) != nil
        var up = NetlinkMessage(
            RTM_NEWLINK, flags: NLM_F_ACK,
            header: ifinfomsg(index: ifindex, flags: UInt32(IFF_UP), change: UInt32(IFF_UP)))
        up.put(IFLA_MTU, mtu)
        try netlink.request(up, "bring \(name) up")
        // Only now: an address of a device that is down may never get the route to its peer.
        if hasIPv6 {
            let address = NetlinkMessage(address: addresses.near6, peer: addresses.far6, ifindex: ifindex)
            hasIPv6 = (try? netlink.request(address, "give \(name) the address \(addresses.near6)")) != nil
        }
        if hasIPv6 { try awaitRoute(to: addresses.far6, ifindex, &netlink) }
        return hasIPv6
    }

    /// Waits until the kernel has the routes of the IPv6 address, the one to its peer last: it makes them in a work queue
    /// (`addrconf_dad_work` of net/ipv6/addrconf.c), late when another device goes away at that moment, as it does after a
    /// webtun that was killed. Without them connections over IPv6 would get no answer.
    private static func awaitRoute(
        to peer: IPAddress, _ ifindex: UInt32, _ netlink: inout NetlinkSocket
    ) throws(KernelError) {
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET6)
        header.rtm_dst_len = 128
        var message = NetlinkMessage(RTM_GETROUTE, flags: NLM_F_ACK, header: header)
        message.put(Int(RTA_DST.rawValue), peer)
        // Ten seconds: a machine that is busy with much else takes more than one.
        for _ in 0..<2000 {
            var link: UInt32?
            // Without any route yet the kernel answers with an error.
            try? netlink.dump(message, "find the route to \(peer)") { reply in
                guard reply.type == RTM_NEWROUTE else { return }
                link = reply.attributes(after: MemoryLayout<rtmsg>.size).integer(Int(RTA_OIF.rawValue), UInt32.self)
            }
            if link == ifindex { return }
            usleep(5000)
        }
        throw KernelError("wait for the route to \(peer)", Errno(ETIMEDOUT))
    }

    /// `ip link delete NAME`.
    static func delete(_ name: String, _ netlink: inout NetlinkSocket) throws(KernelError) {
        let header = ifinfomsg(index: unsafe if_nametoindex(name))
        try netlink.request(NetlinkMessage(RTM_DELLINK, flags: NLM_F_ACK, header: header), "ip link delete \(name)")
    }

    /// Packets that wait for the reader before the kernel drops.
    static let queueLength: UInt32 = 4096
    /// Of the TUN as long as no captured link has told another one.
    static let usualMTU: UInt32 = 1500
    /// `IN6_ADDR_GEN_MODE_NONE`.
    private static let noLinkLocal: UInt8 = 1

    /// For `Poller.add`.
    @inlinable public var number: CInt { descriptor.number }

    /// Reads one packet with its header. Returns the bytes read, or `-errno`: `-EAGAIN` when none waits, `-EBADFD` when
    /// the device is gone. A packet longer than the buffer is cut.
    @inlinable
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        unsafe descriptor.read(into: buffer)
    }

    /// Writes one packet with its header. Returns the bytes written, or `-errno`: `-EINVAL` for something that is not
    /// IP, `-EIO` when the device is down.
    @inlinable
    public func write(_ buffer: UnsafeRawBufferPointer) -> Int {
        unsafe descriptor.write(buffer)
    }
}

extension ifinfomsg {
    init(index: UInt32, flags: UInt32 = 0, change: UInt32 = 0) {
        self.init()
        ifi_index = Int32(index)
        ifi_flags = flags
        ifi_change = change
    }
}

extension NetlinkMessage {
    /// `ip address add NEAR peer FAR dev …`, without duplicate address detection.
    init(address: IPAddress, peer: IPAddress, ifindex: UInt32) {
        var header = ifaddrmsg()
        header.ifa_family = UInt8(address.isIPv6 ? AF_INET6 : AF_INET)
        header.ifa_prefixlen = UInt8(address.byteCount * 8)
        header.ifa_flags = UInt8(address.isIPv6 ? IFA_F_NODAD : 0)
        header.ifa_index = ifindex
        self.init(RTM_NEWADDR, flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, header: header)
        put(IFA_LOCAL, address)
        put(IFA_ADDRESS, peer)
    }
}
