import Foundation
import Glibc
import Kernel
import PacketTunnel
import Synchronization
import Wire

/// The least that full mode can be: a thread that reads the TUN, asks a closure about every packet, and writes it back.
final class Forwarder: Sendable {
    enum Verdict: Sendable {
        /// This packet goes on.
        case forward
        /// It goes on, and its flow is let pass in the kernel from now on.
        case allow
        case drop
        /// Administratively prohibited, or a reset.
        case refuse
    }

    struct Seen: Sendable {
        var packets: [FlowKey: Int] = [:]
        var total = 0
        var superPackets = 0
        var writeErrors = 0
    }

    typealias Judge = @Sendable (FlowKey, Packet) -> Verdict

    /// In a structure: taken out of the lock by itself, a closure would be wrapped once more each time.
    private struct Law: Sendable {
        let judge: Judge
    }

    private let law: Mutex<Law>
    private let now = Mutex(Seen())
    private let isStopping = Atomic<Bool>(false)
    private let ended = DispatchSemaphore(value: 0)

    /// Takes the TUN and starts the thread, which works for `capture`.
    init(_ tun: consuming TunDevice, _ capture: any Capture, _ judge: @escaping Judge) {
        law = Mutex(Law(judge: judge))
        let box = Box(tun)
        Thread.detachNewThread { [self] in
            box.run { run($0, capture) }
            ended.signal()
        }
    }

    private final class Box: Sendable {
        private let tun: Mutex<TunDevice?>

        init(_ tun: consuming TunDevice) { self.tun = Mutex(tun) }

        /// Gives the TUN away; it is gone after `body`.
        func run(_ body: (borrowing TunDevice) -> Void) {
            guard let tun = tun.withLock({ $0.take() }) else { return }
            body(tun)
        }
    }

    /// What was read since the last call.
    func seen() -> Seen {
        now.withLock { seen in
            defer { seen = Seen() }
            return seen
        }
    }

    func setJudge(_ new: @escaping Judge) { law.withLock { $0 = Law(judge: new) } }

    /// Ends the thread and gives up the TUN.
    func stop() {
        guard !isStopping.exchange(true, ordering: .acquiringAndReleasing) else { return }
        ended.wait()
    }

    private func run(_ tun: borrowing TunDevice, _ capture: any Capture) {
        var buffer = [UInt8](repeating: 0, count: 70_000)
        while !isStopping.load(ordering: .acquiring) {
            let count = buffer.withUnsafeMutableBytes { tun.read(into: $0) }
            guard count > 10 else {
                var wait = pollfd(fd: tun.number, events: Int16(POLLIN), revents: 0)
                _ = poll(&wait, 1, 20)
                continue
            }
            let left = handle(&buffer, count, capture)
            guard left > 0 else { continue }
            let written = buffer.withUnsafeBytes { tun.write(UnsafeRawBufferPointer(rebasing: $0[..<left])) }
            if written != left { now.withLock { $0.writeErrors += 1 } }
        }
    }

    /// Returns how many bytes of the buffer to write.
    private func handle(_ buffer: inout [UInt8], _ count: Int, _ capture: any Capture) -> Int {
        let isSuper = buffer[1] != 0
        return buffer.withUnsafeMutableBytes { room in
            let part = UnsafeMutableRawBufferPointer(rebasing: room[10..<count])
            var bytes = part.mutableBytes
            let packet = Packet.parse(bytes.bytes)
            guard packet.kind != .malformed else { return 0 }
            var key = FlowKey(bytes.bytes, packet)
            if packet.kind == .fragment {
                let fragment = Fragment(bytes.bytes, packet)
                key.sourcePort = fragment.sourcePort
                key.destinationPort = fragment.destinationPort
            }
            now.withLock { seen in
                seen.packets[key, default: 0] += 1
                seen.total += 1
                if isSuper { seen.superPackets += 1 }
            }
            switch law.withLock({ $0 }).judge(key, packet) {
            case .drop: return 0
            case .allow: capture.flows?.allow(key)
            case .forward: break
            case .refuse:
                return Forwarder.refuse(room, Array(room[10..<count]), packet)
            }
            if capture.lowersLifetime { Lifetime.raise(&bytes, packet) }
            return count
        }
    }

    private static func refuse(_ buffer: UnsafeMutableRawBufferPointer, _ bytes: [UInt8], _ packet: Packet) -> Int {
        let behind = UnsafeMutableRawBufferPointer(rebasing: buffer[10...])
        var room = behind.mutableBytes
        let size =
            packet.kind == .tcp
            ? Segment.composeReset(into: &room, answering: packet)
            : Unreachable.compose(into: &room, answering: bytes.span.bytes, packet)
        for index in 0..<10 { buffer[index] = 0 }
        return size > 0 ? 10 + size : 0
    }
}
