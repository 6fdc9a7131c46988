public import Glibc
public import Wire

/// An IP address and port for the socket calls: `sockaddr_in` or `sockaddr_in6` without storage of its own.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    public var address: IPAddress
    /// Host byte order.
    public var port: UInt16
    /// The interface index of a link-local IPv6 address, else 0.
    public var scope: UInt32

    @inlinable
    public init(_ address: IPAddress, port: UInt16, scope: UInt32 = 0) {
        self.address = address
        self.port = port
        self.scope = scope
    }

    /// The unspecified IPv4 address with port 0: no address at all.
    @inlinable public static var none: SocketAddress { SocketAddress(IPAddress(v4: 0), port: 0) }

    /// `AF_INET` or `AF_INET6`.
    @inlinable public var family: CInt { address.isIPv6 ? AF_INET6 : AF_INET }

    /// `192.0.2.1:53`, `[2001:db8::1]:53` or `[fe80::1%eth0]:53`.
    public var description: String {
        address.isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// The address without the port, a link-local one with its link: `fe80::1%eth0` (RFC 4007 section 11).
    public var host: String {
        guard scope != 0 else { return address.description }
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard unsafe if_indextoname(scope, &name) != nil else { return "\(address)%\(scope)" }
        return "\(address)%" + String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Reads `address`, `address:port`, `[address]:port` or `address@port`. A link-local IPv6 address may have a zone,
    /// `%eth0`, whose link must exist, or `%2`.
    public init?(_ text: String, defaultPort: UInt16) {
        var host = text[...]
        var port = defaultPort
        if text.first == "[", let close = text.lastIndex(of: "]") {
            host = text[text.index(after: text.startIndex)..<close]
            let rest = text[text.index(after: close)...]
            if !rest.isEmpty {
                guard rest.first == ":", let number = UInt16(rest.dropFirst()) else { return nil }
                port = number
            }
        } else if let at = text.lastIndex(of: "@") ?? SocketAddress.onlyColon(text) {
            guard let number = UInt16(text[text.index(after: at)...]) else { return nil }
            host = text[..<at]
            port = number
        }
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard port != 0, let address = IPAddress(String(parts[0])) else { return nil }
        self.init(address, port: port)
        guard parts.count == 2 else { return }
        guard address.isIPv6, address.isLinkLocal, let scope = SocketAddress.scope(of: String(parts[1])) else {
            return nil
        }
        self.scope = scope
    }

    /// The interface index that a zone means: the name of a link, or its index.
    private static func scope(of zone: String) -> UInt32? {
        let named = unsafe if_nametoindex(zone)
        if named != 0 { return named }
        guard let index = UInt32(zone), index != 0 else { return nil }
        return index
    }

    private static func onlyColon(_ text: String) -> String.Index? {
        guard let first = text.firstIndex(of: ":"), text.lastIndex(of: ":") == first else { return nil }
        return first
    }

    /// Calls `body` with the kernel's form of the address and its length in bytes.
    @inlinable
    public func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        if address.isIPv6 {
            var raw = sockaddr_in6()
            raw.sin6_family = sa_family_t(AF_INET6)
            raw.sin6_port = port.bigEndian
            raw.sin6_scope_id = scope
            unsafe withUnsafeMutableBytes(of: &raw.sin6_addr) { bytes in
                unsafe bytes.storeBytes(of: address.high.bigEndian, toByteOffset: 0, as: UInt64.self)
                unsafe bytes.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            return unsafe withUnsafePointer(to: &raw) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        var raw = sockaddr_in()
        raw.sin_family = sa_family_t(AF_INET)
        raw.sin_port = port.bigEndian
        raw.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.low).bigEndian
        return unsafe withUnsafePointer(to: &raw) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// Calls `fill` with room for any address and reads what it left there; `nil` when it is neither IPv4 nor IPv6.
    @inlinable
    public static func filled(by fill: (UnsafeMutablePointer<sockaddr>, inout socklen_t) -> Void) -> SocketAddress? {
        var raw = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        return unsafe withUnsafeMutablePointer(to: &raw) { pointer -> SocketAddress? in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe fill($0, &length) }
            return unsafe SocketAddress(UnsafeRawPointer(pointer))
        }
    }

    @inlinable
    init?(_ raw: UnsafeRawPointer) {
        let family = unsafe CInt(raw.load(as: sa_family_t.self))
        let port = unsafe UInt16(bigEndian: raw.load(fromByteOffset: 2, as: UInt16.self))
        if family == AF_INET {
            self.init(IPAddress(v4: unsafe UInt32(bigEndian: raw.load(fromByteOffset: 4, as: UInt32.self))), port: port)
        } else if family == AF_INET6 {
            let high = unsafe UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let low = unsafe UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            self.init(
                IPAddress(high: high, low: low), port: port,
                scope: unsafe raw.load(fromByteOffset: 24, as: UInt32.self))
        } else {
            return nil
        }
    }
}
