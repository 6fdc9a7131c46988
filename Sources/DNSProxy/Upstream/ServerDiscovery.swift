import Glibc
public import Kernel
public import Wire

/// The upstream servers the machine uses, read from the files its resolver is configured with, and followed as they
/// change.
///
/// The first source with a usable server decides:
/// 1. `/etc/resolv.conf` (resolv.conf(5)), when it names more than a stub on this machine;
/// 2. systemd-resolved: `/run/systemd/resolve/resolv.conf`, which lists the servers of all links, then systemd-networkd's
///    `/run/systemd/netif/links/*` (`DNS=`) for servers that are not in it;
/// 3. NetworkManager: `/run/NetworkManager/no-stub-resolv.conf`, then `/run/NetworkManager/resolv.conf`.
///
/// Cold; one thread. `poll` costs a few `stat` calls when nothing changed.
public struct ServerDiscovery {
    /// A usable server and the file it stands in.
    public struct Found: Sendable, Equatable {
        public let server: SocketAddress
        public let source: String
    }

    /// A server that stands in a file and is not used.
    public struct Passed: Sendable, Equatable {
        public let text: String
        public let source: String
        public let reason: String
        /// It is a resolver of this machine.
        public let isStub: Bool
    }

    /// Usable servers in order, each once.
    public private(set) var found: [Found] = []
    /// What was read and not used, with the reason.
    public private(set) var passed: [Passed] = []

    private let root: String
    private let own: Set<IPAddress>
    private var signature: [UInt64] = []

    private static let resolvConf = "/etc/resolv.conf"
    private static let resolved = "/run/systemd/resolve/resolv.conf"
    private static let links = "/run/systemd/netif/links"
    private static let networkManager = ["/run/NetworkManager/no-stub-resolv.conf", "/run/NetworkManager/resolv.conf"]

    /// Reads the files once.
    ///
    /// - Parameters:
    ///   - root: the directory that stands for `/`.
    ///   - own: addresses no upstream may have: webtun's and the machine's, because what answers there is or asks webtun.
    public init(root: String = "", own: [IPAddress] = ServerDiscovery.machineAddresses()) {
        self.root = root.last == "/" ? String(root.dropLast()) : root
        self.own = Set(own)
        signature = currentSignature()
        read()
    }

    /// The usable servers in order.
    public var servers: [SocketAddress] { found.map(\.server) }

    /// The stubs that are all the machine names as servers; empty when there is a usable server, or none is named at all.
    public var onlyStubs: [Passed] { found.isEmpty ? passed.filter(\.isStub) : [] }

    /// Reads again what changed. Returns the servers when they are others than before, else `nil`.
    public mutating func poll() -> [SocketAddress]? {
        let current = currentSignature()
        guard current != signature else { return nil }
        signature = current
        let before = servers
        read()
        return servers == before ? nil : servers
    }

    /// Why a server cannot be an upstream, for the list of a user too; `nil`: it can.
    public static func refusal(of server: SocketAddress, own: some Sequence<IPAddress>) -> String? {
        let address = server.address
        if address.isUnspecified { return "the unspecified address is no server" }
        if address.isLoopback { return "a resolver on this machine asks through webtun and would be asked by it" }
        if address.isMulticastOrBroadcast { return "a multicast or broadcast address is no server" }
        if own.contains(address) { return "the address is this machine's" }
        if address.isIPv6, address.isLinkLocal, server.scope == 0 {
            return "a link-local address needs its link: \(address)%eth0"
        }
        return nil
    }

    /// The addresses of the machine's links.
    public static func machineAddresses() -> [IPAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var addresses: [IPAddress] = []
        var entry = unsafe list
        while let current = unsafe entry {
            if let raw = unsafe current.pointee.ifa_addr {
                let family = unsafe CInt(raw.pointee.sa_family)
                if family == AF_INET || family == AF_INET6 {
                    let length = family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
                    let address = unsafe SocketAddress.filled { storage, size in
                        unsafe UnsafeMutableRawPointer(storage).copyMemory(from: raw, byteCount: length)
                        size = socklen_t(length)
                    }
                    if let address { addresses.append(address.address) }
                }
            }
            unsafe entry = current.pointee.ifa_next
        }
        return addresses
    }

    /// Reads `address[:port][%link][#name]` as resolv.conf(5) and systemd write it; `link`: the interface index of a
    /// link-local address without a zone.
    public static func parse(_ text: String, link: UInt32 = 0) -> SocketAddress? {
        let text = String(text.prefix { $0 != "#" })
        guard var server = SocketAddress(text, defaultPort: 53) else { return nil }
        if server.scope == 0, server.address.isIPv6, server.address.isLinkLocal { server.scope = link }
        return server
    }

    // MARK: - Reading

    private mutating func read() {
        found = []
        passed = []
        take(Self.resolvConf, nameservers(Self.resolvConf))
        if found.isEmpty {
            take(Self.resolved, nameservers(Self.resolved))
            for name in entries(Self.links) {
                let path = Self.links + "/" + name
                take(path, linkServers(path), link: UInt32(name) ?? 0)
            }
        }
        for path in Self.networkManager where found.isEmpty { take(path, nameservers(path)) }
    }

    private mutating func take(_ source: String, _ texts: [String], link: UInt32 = 0) {
        for text in texts {
            guard let server = ServerDiscovery.parse(text, link: link) else {
                let reason = text.contains("%") ? "no IP address, or no such link" : "no IP address"
                passed.append(Passed(text: text, source: source, reason: reason, isStub: false))
                continue
            }
            if let reason = ServerDiscovery.refusal(of: server, own: own) {
                let isStub = server.address.isLoopback || own.contains(server.address)
                passed.append(Passed(text: text, source: source, reason: reason, isStub: isStub))
            } else if !found.contains(where: { $0.server == server }) {
                found.append(Found(server: server, source: source))
            }
        }
    }

    /// The `nameserver` lines of a resolv.conf(5).
    private func nameservers(_ path: String) -> [String] {
        lines(path).compactMap { line in
            let words = line.split { $0 == " " || $0 == "\t" }
            return words.count >= 2 && words[0] == "nameserver" ? String(words[1]) : nil
        }
    }

    /// The `DNS=` lines of a link's state file.
    private func linkServers(_ path: String) -> [String] {
        lines(path).flatMap { line in
            line.hasPrefix("DNS=") ? line.dropFirst(4).split(separator: " ").map(String.init) : []
        }
    }

    private func lines(_ path: String) -> [Substring] {
        guard let file = try? Descriptor(unsafe open(root + path, O_RDONLY | O_CLOEXEC), "open \(path)") else {
            return []
        }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16384)
        while text.count < 1 << 20 {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe file.read(into: $0) }
            guard count > 0 else { break }
            text += chunk[..<count]
        }
        return String(decoding: text, as: UTF8.self).split(whereSeparator: \.isNewline)
    }

    /// The names in a directory, in the order of their numbers.
    private func entries(_ path: String) -> [String] {
        guard let directory = unsafe opendir(root + path) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name.first != "." { names.append(name) }
        }
        return names.sorted { (Int($0) ?? .max, $0) < (Int($1) ?? .max, $1) }
    }

    /// What tells that a file was replaced or rewritten; the directory of the links changes with each file in it.
    private func currentSignature() -> [UInt64] {
        ([Self.resolvConf, Self.resolved, Self.links] + Self.networkManager).flatMap { path -> [UInt64] in
            var status = stat()
            guard unsafe stat(root + path, &status) == 0 else { return [0] }
            let time = UInt64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ UInt64(status.st_mtim.tv_nsec)
            return [UInt64(status.st_dev), UInt64(status.st_ino), UInt64(status.st_size), time]
        }
    }
}
