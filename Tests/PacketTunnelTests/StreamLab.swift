import CAllocations
import ContentFilter
import DNSProxy
import Foundation
import Glibc
import Kernel
import PacketTunnel
import Synchronization
import Testing
import Wire

@_silgen_name("unshare") private func unshare(_ flags: CInt) -> CInt
@_silgen_name("setns") private func setns(_ file: CInt, _ type: CInt) -> CInt
private let newNetwork: CInt = 0x4000_0000  // CLONE_NEWNET of <linux/sched.h>

/// A network namespace of its own with a TUN, on whose far side the redirection and the TCP server run in one thread.
///
/// Clients have 192.0.2.7 and 2001:db8::7; 198.51.100.0/24 and 2001:db8:1::/48 are behind the TUN. The server answers a
/// query with a message of as many bytes as the query's second word says, the ID kept; of the queries that come together
/// the last is answered first.
final class StreamLab: Sendable {
    struct Settings {
        var capacity = 1024
        var connections = 1024
        var idleSeconds = 30
        var hasOffloads = true
    }

    struct Counters {
        var resets = 0
        var superPacketsToListener = 0
        var superPacketsFromListener = 0
        var packets = 0
        var allocations: UInt = 0
        var queries = 0
        var answeredFlows: Set<String> = []
        var server = StreamServer.Counters()
    }

    private enum State {
        case starting
        case running(network: CInt)
        case failed(any Error)
    }

    private let state = Mutex<State>(.starting)
    private let counted = Mutex(Counters())
    private let wakeup: Wakeup
    private let wantsForget = Atomic<Bool>(false)
    private let wantsStop = Atomic<Bool>(false)
    private let started = DispatchSemaphore(value: 0)
    private let stopped = DispatchSemaphore(value: 0)

    init(_ settings: Settings = Settings()) throws {
        wakeup = try Wakeup()
        Thread.detachNewThread { [self] in
            do {
                let engine = try Engine(settings, wakeup)
                state.withLock { $0 = .running(network: engine.network) }
                started.signal()
                engine.run(self)
            } catch {
                state.withLock { $0 = .failed(error) }
                started.signal()
            }
            stopped.signal()
        }
        started.wait()
        if case .failed(let error) = state.withLock({ $0 }) { throw error }
    }

    var counters: Counters { counted.withLock { $0 } }

    /// Lets the redirection forget all its flows, as a restart would.
    func forgetFlows() {
        wantsForget.store(true, ordering: .sequentiallyConsistent)
        wakeup.signal()
        while wantsForget.load(ordering: .sequentiallyConsistent) { usleep(1000) }
    }

    /// Ends the far side; the namespace goes with its last descriptor.
    func stop() {
        wantsStop.store(true, ordering: .sequentiallyConsistent)
        wakeup.signal()
        stopped.wait()
    }

    /// Runs the body on a thread of the namespace.
    func inside<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws -> Result {
        guard case .running(let network) = state.withLock({ $0 }) else { fatalError("not running") }
        let result = Mutex<Swift.Result<Result, any Error>?>(nil)
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            let outcome = Swift.Result {
                guard setns(network, newNetwork) == 0 else { throw KernelError("setns") }
                return try body()
            }
            result.withLock { $0 = outcome }
            done.signal()
        }
        done.wait()
        return try result.withLock { try $0!.get() }
    }

    /// The far side; lives on its thread.
    private final class Engine {
        static let listener4 = SocketAddress("10.1.0.1:53535", defaultPort: 0)!
        static let listener6 = SocketAddress("[fd77:6562:7475:6e00::1]:53535", defaultPort: 0)!
        static let peer4 = IPAddress("10.1.0.2")!
        static let peer6 = IPAddress("fd77:6562:7475:6e00::2")!

        let network: CInt
        let tun: Descriptor
        let poller: Poller
        let settings: Settings
        var redirect: StreamRedirect
        var server: StreamServer
        var filter = FlowEngine(peer4: peer4, peer6: peer6)
        var buffer = [UInt8](repeating: 0, count: 70_000)
        var local = Counters()

        init(_ settings: Settings, _ wakeup: Wakeup) throws {
            guard unshare(newNetwork) == 0 else { throw KernelError("unshare (tests need root)") }
            network = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
            tun = try Engine.openTUN(hasOffloads: settings.hasOffloads)
            let script = """
                set -e
                ip link set lo up
                ip link set wtt0 up mtu 1500
                ip addr add 10.1.0.1 peer 10.1.0.2 dev wtt0
                ip addr add fd77:6562:7475:6e00::1 peer fd77:6562:7475:6e00::2 dev wtt0 nodad
                ip addr add 192.0.2.7/32 dev lo
                ip addr add 2001:db8::7/128 dev lo nodad
                ip route add 198.51.100.0/24 dev wtt0 src 192.0.2.7
                ip -6 route add 2001:db8:1::/48 dev wtt0 src 2001:db8::7
                """
            guard system(script) == 0 else { throw KernelError("set up the namespace") }
            poller = try Poller()
            self.settings = settings
            redirect = Engine.makeRedirect(settings)
            server = try StreamServer(
                listeners: [Engine.listener4, Engine.listener6], device: "wtt0", peers: [Engine.peer4, Engine.peer6],
                poller: poller, owner: 1,
                connections: settings.connections, idleSeconds: settings.idleSeconds)
            try poller.add(tun.number, tag: 0, .read)
            try poller.add(wakeup.number, tag: 1, .read)
        }

        deinit { close(network) }

        static func makeRedirect(_ settings: Settings) -> StreamRedirect {
            StreamRedirect(
                listener4: listener4, peer4: peer4, listener6: listener6, peer6: peer6, capacity: settings.capacity)
        }

        static func openTUN(hasOffloads: Bool) throws -> Descriptor {
            let tun = try Descriptor(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), "open /dev/net/tun")
            var request = [UInt8](repeating: 0, count: 40)
            request.replaceSubrange(0..<4, with: "wtt0".utf8)
            let flags = 0x5001  // IFF_TUN | IFF_NO_PI | IFF_VNET_HDR of <linux/if_tun.h>
            request[16] = UInt8(flags & 255)
            request[17] = UInt8(flags >> 8)
            guard ioctl(tun.number, 0x4004_54ca, &request) == 0 else { throw KernelError("TUNSETIFF") }
            // TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 by TUNSETOFFLOAD.
            if hasOffloads, ioctl(tun.number, 0x4004_54d0, 7) != 0 { throw KernelError("TUNSETOFFLOAD") }
            return tun
        }

        func run(_ lab: StreamLab) {
            while !lab.wantsStop.load(ordering: .sequentiallyConsistent) {
                let count = poller.wait(milliseconds: 100)
                let now = Clock.monotonic()
                for index in 0..<count {
                    let event = poller.event(index)
                    switch event.tag {
                    case 0: forwardPackets(now)
                    case 1: lab.wakeup.clear()
                    default:
                        server.ready(
                            index: UInt32(truncatingIfNeeded: event.tag), event.ready, now: now, poller: poller)
                    }
                }
                answer()
                redirect.expire(now: now)
                server.expire(now: now, poller: poller)
                if lab.wantsForget.exchange(false, ordering: .sequentiallyConsistent) {
                    redirect = Engine.makeRedirect(settings)
                }
                local.server = server.counters
                let snapshot = local
                lab.counted.withLock { $0 = snapshot }
            }
        }

        func forwardPackets(_ now: UInt64) {
            while true {
                let count = buffer.withUnsafeMutableBytes { tun.read(into: $0) }
                guard count > 10 else { return }
                let length = buffer.withUnsafeMutableBytes {
                    var frame = $0.mutableBytes
                    return handle(&frame, count, now)
                }
                guard length > 0 else { continue }
                let written = buffer.withUnsafeBytes { tun.write(UnsafeRawBufferPointer(rebasing: $0[..<length])) }
                precondition(written == length, "write of \(length) bytes: \(written)")
            }
        }

        /// Handles the packet in the buffer; returns the bytes to write back, 0 for none.
        func handle(_ whole: inout MutableRawSpan, _ count: Int, _ now: UInt64) -> Int {
            let header = VirtioHeader(whole.bytes)
            let before = allocations_of_this_thread()
            var bytes = whole._mutatingExtracting(10..<count)
            let packet = Packet.parse(bytes.bytes)
            let partial = header.needsChecksum
            let isFromListener = redirect.isFromListener(packet)
            var outcome = StreamRedirect.Outcome.drop
            if isFromListener {
                outcome = redirect.fromListener(&bytes, packet, partialChecksum: partial, now: now)
            } else if packet.kind == .tcp, packet.destinationPort == 53 {
                outcome = redirect.toListener(&bytes, packet, partialChecksum: partial, now: now)
            } else if case .reply(let byteCount) = filter.decide(&bytes, packet, .init(now: 1, client: packet.source)) {
                outcome = .reset(byteCount: byteCount)
            }
            local.allocations += UInt(allocations_of_this_thread() - before)
            local.packets += 1
            switch outcome {
            case .rewritten:
                if header.gsoType != 0, isFromListener { local.superPacketsFromListener += 1 }
                if header.gsoType != 0, !isFromListener { local.superPacketsToListener += 1 }
                return count
            case .reset(let byteCount):
                local.resets += 1
                VirtioHeader.composePlain(into: &whole)
                return 10 + byteCount
            case .drop:
                return 0
            }
        }

        func answer() {
            while true {
                var queries: [(token: StreamToken, reply: [UInt8])] = []
                while let query = server.nextQuery() {
                    local.queries += 1
                    if let flow = redirect.flow(port: query.peer.port, isIPv6: query.peer.address.isIPv6) {
                        local.answeredFlows.insert("\(flow.client.address) \(flow.resolver)")
                    }
                    queries.append((query.token, Engine.reply(server, query)))
                }
                if queries.isEmpty { return }
                for query in queries.reversed() {
                    server.reply(query.token, query.reply.span.bytes, poller: poller)
                }
            }
        }

        static func reply(_ server: borrowing StreamServer, _ query: StreamQuery) -> [UInt8] {
            let message = server.message(query)
            let (id, byteCount) = (message.u16(0), Int(message.u16(2)))
            return StreamMessage.body(id, byteCount)
        }
    }
}

/// What clients send and get.
enum StreamMessage {
    /// A message that can be recognised by its ID.
    static func body(_ id: UInt16, _ byteCount: Int) -> [UInt8] {
        [UInt8(id >> 8), UInt8(id & 255)] + (2..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 17 &+ Int(id)) }
    }

    /// A framed query for a reply of `replyByteCount`.
    static func query(_ id: UInt16, _ byteCount: Int = 30, reply replyByteCount: Int = 40) -> [UInt8] {
        var message = body(id, byteCount)
        message[2] = UInt8(replyByteCount >> 8)
        message[3] = UInt8(replyByteCount & 255)
        return [UInt8(byteCount >> 8), UInt8(byteCount & 255)] + message
    }
}

/// A client's blocking connection, in the namespace of its thread.
struct StreamClient: ~Copyable {
    let socket: Descriptor

    init(_ address: String = "198.51.100.53:53") throws(KernelError) {
        let address = SocketAddress(address, defaultPort: 53)!
        let socket = try Descriptor(Glibc.socket(address.family, CInt(SOCK_STREAM.rawValue), 0), "socket")
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(socket.number, SOL_SOCKET, option, &timeout, socklen_t(MemoryLayout<timeval>.size))
        }
        var enable: CInt = 1
        setsockopt(socket.number, CInt(IPPROTO_TCP), TCP_NODELAY, &enable, 4)
        let number = socket.number
        if address.withSockaddr({ connect(number, $0, $1) }) < 0 { throw KernelError("connect to \(address)") }
        self.socket = socket
    }

    func send(_ bytes: [UInt8]) throws(KernelError) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(socket.number, $0.baseAddress! + sent, $0.count - sent, CInt(MSG_NOSIGNAL))
            }
            if count < 0 { throw KernelError("send") }
            sent += count
        }
    }

    /// `nil` at the end of the stream.
    func read(_ count: Int) throws(KernelError) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = recv(socket.number, &bytes, count, CInt(MSG_WAITALL))
        if got < 0 { throw KernelError("recv") }
        return got == count ? bytes : nil
    }

    func readMessage() throws(KernelError) -> [UInt8]? {
        guard let length = try read(2) else { return nil }
        return try read(Int(length[0]) << 8 | Int(length[1]))
    }
}
