import Wire

/// What a flow under peeking carries in its entry of the flow table: where its stream begins and which buffer it has.
/// 16 bytes, meaningful only to the `NamePeek` it is fed to; a copy is good for nothing once the original was fed.
public struct PeekTicket: Sendable {
    /// UDP datagrams, else the segments of a TCP connection.
    let isDatagrams: Bool
    /// TCP: a sequence number was given, so the stream's begin is known.
    var isBegun = false
    /// TCP: the sequence number of the stream's first byte.
    var start: UInt32 = 0
    /// TCP: a segment has acknowledged something.
    var isAnswered = false
    /// TCP: the acknowledgment of the first segment that had one.
    var acknowledged: UInt32 = 0
    /// The buffer, or `none`.
    var slot: UInt16 = PeekTicket.none
    /// The buffer's number of uses; another one than the slot's own says that the buffer was taken away.
    var use: UInt16 = 0

    static let none = UInt16.max

    /// A ticket for a flow with this protocol, given before its first packet is fed.
    ///
    /// - Returns: `nil` for protocols that tell no names: neither TCP nor UDP.
    public init?(proto: UInt8) {
        switch proto {
        case Packet.Number.tcp: isDatagrams = false
        case Packet.Number.udp: isDatagrams = true
        default: return nil
        }
    }
}

/// Where the name of a flow is from. The raw values are stable.
public enum NameSource: UInt8, CaseIterable, Sendable, CustomStringConvertible {
    /// An answer to a DNS query of the same client (`AddressNames`).
    case dns = 1
    /// The server name of a TLS ClientHello over TCP (RFC 6066 section 3).
    case tls = 2
    /// The same in a QUIC Initial (RFC 9001 section 4).
    case quic = 3
    /// The Host of an HTTP/1 request (RFC 9112 section 3.2).
    case http = 4

    public var description: String {
        switch self {
        case .dns: "dns"
        case .tls: "sni"
        case .quic: "quic"
        case .http: "http"
        }
    }
}

/// Why a flow gave no name. The raw values are stable.
public enum NoName: UInt8, CaseIterable, Sendable, CustomStringConvertible {
    /// The first bytes are neither TLS nor HTTP/1, or the first datagram is no QUIC Initial of a known version.
    case otherProtocol = 1
    /// A ClientHello without `server_name`, or an HTTP request without Host.
    case unnamed = 2
    /// The place of the name holds an address.
    case address = 3
    /// The place of the name holds what is no domain name, or lengths contradict each other.
    case malformed = 4
    /// No name within `NamePeek.byteLimit` bytes.
    case tooLong = 5
    /// No name within `NamePeek.timeLimit`.
    case tooLate = 6
    /// The far side spoke first: no client of TLS or HTTP waits for that.
    case serverFirst = 7
    /// The flow ended without having told a name.
    case ended = 8
    /// QUIC packets that do not decrypt, or none where they should be.
    case undecipherable = 9
    /// The buffer was needed for a younger flow.
    case crowded = 10

    public var description: String {
        switch self {
        case .otherProtocol: "no TLS, HTTP or QUIC"
        case .unnamed: "no name told"
        case .address: "an address for a name"
        case .malformed: "malformed"
        case .tooLong: "no name in the first bytes"
        case .tooLate: "no name in time"
        case .serverFirst: "the server spoke first"
        case .ended: "ended without a name"
        case .undecipherable: "not decipherable"
        case .crowded: "too many flows at once"
        }
    }
}

/// What a packet brought to light.
public enum PeekOutcome: Equatable, Sendable {
    /// Nothing yet; feed the next packet.
    case more
    /// The name, now in `NamePeek.name`; the ticket is used up.
    case name(NameSource)
    /// There is none and will be none; the ticket is used up.
    case none(NoName)
}
