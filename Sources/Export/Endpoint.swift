public import Kernel
internal import Wire

/// Where something is sent to: a Unix socket or an IP address and port.
public enum Endpoint: Sendable, Equatable, CustomStringConvertible {
    /// A path, or `@name` in the abstract space.
    case unix(String)
    case tcp(SocketAddress)
    case udp(SocketAddress)

    /// Reads `unix:/path`, `tcp:192.0.2.1:6000`, `udp:[2001:db8::1]:514`; nil when it is none of them.
    public init?(_ text: String) {
        guard let colon = text.firstIndex(of: ":") else { return nil }
        let rest = String(text[text.index(after: colon)...])
        switch text[..<colon] {
        case "unix":
            guard (try? UnixAddress(rest)) != nil, rest.hasPrefix("/") || rest.hasPrefix("@") else { return nil }
            self = .unix(rest)
        case "tcp", "udp":
            // Port 0 is nobody's, so it says that none was given.
            guard let address = SocketAddress(rest, defaultPort: 1), address.port != 1 || rest.hasSuffix(":1"),
                !address.address.isUnspecified, !address.address.isMulticastOrBroadcast
            else { return nil }
            self = text[..<colon] == "tcp" ? .tcp(address) : .udp(address)
        default: return nil
        }
    }

    public var description: String {
        switch self {
        case .unix(let path): "unix:\(path)"
        case .tcp(let address): "tcp:\(address)"
        case .udp(let address): "udp:\(address)"
        }
    }
}
