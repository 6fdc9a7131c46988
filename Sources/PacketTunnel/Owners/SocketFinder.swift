import CTunnel
import Foundation
import Glibc
import Kernel
import Wire

/// Finds the process that has the socket of a flow open, by asking the kernel: sock_diag(7) for the socket's user and inode,
/// then the links in `/proc/PID/fd`. One thread.
struct SocketFinder: ~Copyable {
    struct Process: Equatable {
        /// The user the socket belongs to: the effective user ID of who made it.
        var uid: Int32
        /// -1 when no process has it open, any more or that may be looked at.
        var pid: Int32 = -1
        /// The path of its program.
        var path: String?
    }

    /// Nanoseconds after which a search gives up.
    static let patience: UInt64 = 50_000_000

    private let diag: Descriptor
    /// Processes that were found lately, the last one first: most sockets are theirs.
    private var recent: [Int32] = []
    private var room = [UInt8](repeating: 0, count: 4096)
    /// When all processes may be searched again: that takes a fifth of a processor at most.
    private var nextSearch: UInt64 = 0

    init() throws(KernelError) {
        diag = try Descriptor(ctunnel_sock_diag(), "open a sock_diag socket")
    }

    /// - Parameter cookie: of the socket; 0 when not known: then the one that would get the replies.
    mutating func find(_ flow: FlowKey, cookie: UInt64) -> Process? {
        // Without a cookie a socket bound to any address would be found for packets forwarded for others.
        guard cookie != 0 || SocketFinder.isLocal(flow.source) else { return nil }
        var ask = ctunnel_tuple()
        ask.source = SocketFinder.words(flow.source)
        ask.destination = SocketFinder.words(flow.destination)
        ask.source_port = flow.sourcePort.bigEndian
        ask.destination_port = flow.destinationPort.bigEndian
        ask.ipv6 = flow.source.isIPv6 ? 1 : 0
        ask.`protocol` = flow.proto
        ask.cookie = cookie
        var uid: UInt32 = 0
        var inode: UInt64 = 0
        guard unsafe ctunnel_sock_find(diag.number, &ask, &uid, &inode) == 0 else { return nil }
        var process = Process(uid: Int32(bitPattern: uid))
        // A socket that was closed has no inode any more.
        if inode != 0, let pid = holder(of: inode, uid: uid) {
            process.pid = pid
            process.path = read("/proc/\(pid)/exe")
        }
        return process
    }

    /// An IPv4 address is the first word; network byte order.
    private static func words(_ address: IPAddress) -> (UInt32, UInt32, UInt32, UInt32) {
        let word = { (value: UInt64, shift: UInt64) in UInt32(truncatingIfNeeded: value >> shift).bigEndian }
        guard address.isIPv6 else { return (word(address.low, 0), 0, 0, 0) }
        return (word(address.high, 32), word(address.high, 0), word(address.low, 32), word(address.low, 0))
    }

    /// Whether a socket can be bound to the address, which the kernel refuses for what is not this machine's.
    static func isLocal(_ address: IPAddress) -> Bool {
        let number = socket(
            address.isIPv6 ? AF_INET6 : AF_INET, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { return false }
        let probe = Descriptor(owning: number)
        return unsafe SocketAddress(address, port: 0).withSockaddr { unsafe bind(probe.number, $0, $1) } == 0
    }

    // MARK: /proc

    /// The process that has the socket open: of several the youngest, which need not be the one that sent.
    private mutating func holder(of inode: UInt64, uid: UInt32) -> Int32? {
        let link = Array("socket:[\(inode)]".utf8)
        let start = Clock.monotonic()
        let end = start + SocketFinder.patience
        for pid in recent where has(pid, link, end) { return remember(pid) }
        guard start >= nextSearch else { return nil }
        defer {
            let now = Clock.monotonic()
            nextSearch = now + 4 * (now - start)
        }
        let pids = SocketFinder.numbers("/proc").sorted(by: >)
        // The socket's user first; a process that has changed its user may have it too.
        var others: [Int32] = []
        for pid in pids {
            var status = stat()
            guard unsafe stat("/proc/\(pid)", &status) == 0 else { continue }
            if status.st_uid != uid {
                others.append(pid)
            } else if has(pid, link, end) {
                return remember(pid)
            }
        }
        for pid in others where has(pid, link, end) { return remember(pid) }
        return nil
    }

    private mutating func remember(_ pid: Int32) -> Int32 {
        recent.removeAll { $0 == pid }
        recent.insert(pid, at: 0)
        if recent.count > 16 { recent.removeLast() }
        return pid
    }

    private mutating func has(_ pid: Int32, _ link: [UInt8], _ end: UInt64) -> Bool {
        guard Clock.monotonic() < end else { return false }
        for number in SocketFinder.numbers("/proc/\(pid)/fd").reversed() {
            let count = readLink("/proc/\(pid)/fd/\(number)")
            if count == link.count, room.prefix(count).elementsEqual(link) { return true }
        }
        return false
    }

    /// The entries of a directory that are numbers, as they come.
    private static func numbers(_ directory: String) -> [Int32] {
        guard let stream = unsafe opendir(directory) else { return [] }
        defer { _ = unsafe closedir(stream) }
        var found: [Int32] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe entry.pointee.d_name
            if isdigit(CInt(name.0)) != 0 {
                found.append(Int32(truncatingIfNeeded: unsafe strtol(&entry.pointee.d_name.0, nil, 10)))
            }
        }
        return found
    }

    private mutating func readLink(_ path: String) -> Int {
        unsafe room.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return -1 }
            return unsafe readlink(path, base.assumingMemoryBound(to: CChar.self), bytes.count)
        }
    }

    private mutating func read(_ path: String) -> String? {
        let count = readLink(path)
        return count > 0 ? String(decoding: room.prefix(count), as: UTF8.self) : nil
    }
}
