/// `struct virtio_net_hdr` (`<linux/virtio_net.h>`), the 10 bytes that a TUN with `IFF_VNET_HDR` puts before a packet.
/// Its integers are in host byte order; all supported hosts are little-endian.
public struct VirtioHeader: Equatable, Sendable {
    public static let byteCount = 10
    private static let needsChecksumFlag: UInt8 = 1
    /// `VIRTIO_NET_HDR_GSO_UDP_L4`
    private static let udpSegmentation: UInt8 = 5

    public var flags: UInt8
    public var gsoType: UInt8
    public var headerLength: UInt16
    public var gsoSize: UInt16
    public var checksumStart: UInt16
    public var checksumOffset: UInt16

    /// Reads the first 10 bytes.
    @inlinable
    public init(_ bytes: RawSpan) {
        flags = bytes.u8(0)
        gsoType = bytes.u8(1)
        headerLength = bytes.u16(2).byteSwapped
        gsoSize = bytes.u16(4).byteSwapped
        checksumStart = bytes.u16(6).byteSwapped
        checksumOffset = bytes.u16(8).byteSwapped
    }

    /// The transport checksum is partial: the kernel or the device completes it.
    public var needsChecksum: Bool { flags & VirtioHeader.needsChecksumFlag != 0 }

    /// Several datagrams of `gsoSize` bytes of payload each, the last one perhaps shorter, under one header.
    public var isUDPSegmentation: Bool { gsoType & 0x7f == VirtioHeader.udpSegmentation }

    /// The header of one whole packet with complete checksums: ten zero bytes.
    @inlinable
    public static func composePlain(into bytes: inout MutableRawSpan) {
        bytes.put64(0, 0)
        bytes.put16(8, 0)
    }
}
