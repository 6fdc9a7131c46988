/// webtun's part of the mark of a connection in the kernel's connection tracking: its upper 8 bits. The lower 24 are others'.
///
/// Bit 31 says that webtun knows the flow, the seven below in which epoch it was allowed; 0: in none that holds.
struct TrackMark: Equatable, Sendable {
    static let mask: UInt32 = 0xff00_0000
    static let known: UInt32 = 0x8000_0000
    /// Known, and not allowed now.
    static let stale = TrackMark(value: known)
    /// Not known.
    static let none = TrackMark(value: 0)

    let value: UInt32

    private init(value: UInt32) {
        self.value = value
    }

    /// Of a flow that is allowed in `epoch`. 127 epochs later the numbers come again; `TrackedFlows.sweep` makes those of the
    /// past stale.
    init(epoch: UInt32) {
        value = TrackMark.known | (epoch % 127 + 1) << 24
    }

    /// What is webtun's of a connection's mark.
    init(of mark: UInt32) {
        value = mark & TrackMark.mask
    }

    static func text(_ value: UInt32) -> String { "0x" + String(value, radix: 16) }
}
