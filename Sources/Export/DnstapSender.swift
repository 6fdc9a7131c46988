internal import Glibc
internal import Kernel
internal import Wire

/// Sends dnstap frames to a receiver over one Frame Streams connection, which it opens anew when it breaks.
///
/// It never waits: what the receiver does not take stays in a buffer of `capacity` bytes, what does not fit there is dropped
/// and counted, and so is everything while there is no connection. The exporter's thread alone.
final class DnstapSender {
    private enum Stage: Equatable {
        /// Nothing is open until then: nanoseconds, monotonic.
        case waiting(UInt64)
        case connecting
        /// READY is sent, ACCEPT is awaited.
        case shaking
        case streaming
        /// STOP is sent, FINISH is awaited.
        case finishing
    }

    static let capacity = 1 << 20
    /// Nanoseconds before the next attempt, and those that an attempt may take.
    static let pause: UInt64 = 1_000_000_000
    static let patience: UInt64 = 5_000_000_000

    private let endpoint: Endpoint
    private let mark: UInt32
    private let tag: UInt64
    private var stage = Stage.waiting(0)
    private var socket: OutgoingSocket?
    private var deadline: UInt64 = .max
    private var output: [UInt8] = []
    private var sent = 0
    private var input: [UInt8] = []
    private var wantsWrite = false

    private(set) var frames = 0
    private(set) var dropped = 0
    /// Why there is no connection; nil: there is one.
    private(set) var problem: String?

    /// - Parameter tag: of the poller's events that are `ready`'s.
    init(_ endpoint: Endpoint, mark: UInt32, tag: UInt64) {
        self.endpoint = endpoint
        self.mark = mark
        self.tag = tag
        problem = "not connected yet"
    }

    var isStreaming: Bool { stage == .streaming }

    /// Opens the connection when it is time, and gives up one that does not come about.
    func tick(now: UInt64, _ poller: borrowing Poller) {
        switch stage {
        case .waiting(let until):
            if now >= until { open(now, poller) }
        case .streaming: break
        case .connecting, .shaking, .finishing:
            if now >= deadline { fail("the receiver at \(endpoint) does not answer", now) }
        }
    }

    private func open(_ now: UInt64, _ poller: borrowing Poller) {
        do throws(KernelError) {
            let opened = try OutgoingSocket(endpoint, isStream: true, mark: mark)
            try poller.add(opened.descriptor.number, tag: tag, [.read, .write])
            socket = consume opened
            wantsWrite = true
            stage = .connecting
            deadline = now + DnstapSender.patience
            output = []
            sent = 0
            input = []
        } catch {
            fail(error.description, now)
        }
    }

    private func fail(_ reason: String, _ now: UInt64) {
        dropped += lost()
        socket = nil
        output.removeAll(keepingCapacity: true)
        sent = 0
        problem = reason
        stage = .waiting(now + DnstapSender.pause)
    }

    /// Frames in the buffer that were not sent whole.
    private func lost() -> Int {
        var count = 0
        var at = 0
        while at + 4 <= output.count {
            let length = output[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
            // A control frame says its length behind the 0.
            if length == 0 {
                guard at + 8 <= output.count else { break }
                at += 8 + output[at + 4..<at + 8].reduce(0) { $0 << 8 | Int($1) }
            } else {
                at += 4 + length
                if at > sent { count += 1 }
            }
        }
        return count
    }

    /// Takes one message, or drops it.
    func add(_ message: [UInt8]) {
        guard isStreaming, output.count - sent + message.count + 4 <= DnstapSender.capacity else {
            dropped += 1
            return
        }
        FrameStream.append(UInt32(message.count), to: &output)
        output += message
        frames += 1
    }

    /// Handles the events of the connection.
    func ready(_ event: Poller.Interest, now: UInt64, _ poller: borrowing Poller) {
        if stage == .connecting {
            if let error = socket?.pendingError { return fail("connect to \(endpoint): \(error)", now) }
            guard event.contains(.write) else { return }
            output += FrameStream.compose(.ready)
            stage = .shaking
        }
        if event.contains(.read) || event.contains(.failure) { receive(now) }
        flush(now: now, poller)
    }

    private func receive(_ now: UInt64) {
        do throws(KernelError) {
            guard let bytes = try socket?.receive() else { return }
            if bytes.isEmpty { return fail("the receiver at \(endpoint) closed the connection", now) }
            input += bytes
        } catch {
            return fail(error.description, now)
        }
        while true {
            switch FrameStream.parse(input) {
            case .more: return
            case .broken(let reason): return fail("the receiver at \(endpoint) sent \(reason)", now)
            case .control(let control, let byteCount):
                input.removeFirst(byteCount)
                switch (control, stage) {
                case (.accept, .shaking):
                    output += FrameStream.compose(.start)
                    stage = .streaming
                    problem = nil
                case (.finish, .finishing), (.finish, .streaming):
                    return fail("the receiver at \(endpoint) ended the stream", now)
                default: return fail("the receiver at \(endpoint) sent \(control) out of turn", now)
                }
            }
        }
    }

    /// Sends what the receiver takes now.
    func flush(now: UInt64, _ poller: borrowing Poller) {
        guard socket != nil, stage != .connecting else { return }
        while sent < output.count {
            let count = socket?.send(output[sent...]) ?? -Int(EPIPE)
            if count == -Int(EAGAIN) { break }
            if count == -Int(EINTR) { continue }
            if count < 0 { return fail("send to \(endpoint): \(Errno(CInt(-count)))", now) }
            sent += count
        }
        let isBehind = sent < output.count
        // A frame that is partly sent keeps its head until all of it is, for `lost`.
        if !isBehind {
            output.removeAll(keepingCapacity: true)
            sent = 0
        } else if sent > DnstapSender.capacity / 2 {
            trim()
        }
        guard isBehind != wantsWrite, let number = socket?.descriptor.number else { return }
        wantsWrite = isBehind
        if (try? poller.modify(number, tag: tag, isBehind ? [.read, .write] : .read)) == nil {
            fail("watch the connection to \(endpoint)", now)
        }
    }

    /// Forgets the frames that are sent whole.
    private func trim() {
        var at = 0
        while at + 8 <= sent {
            let length = output[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
            let end =
                length == 0 ? at + 8 + output[at + 4..<at + 8].reduce(0) { $0 << 8 | Int($1) } : at + 4 + length
            guard end <= sent else { break }
            at = end
        }
        output.removeFirst(at)
        sent -= at
    }

    /// Ends the stream in order. Returns whether there is something to wait for.
    func finish(now: UInt64, _ poller: borrowing Poller) -> Bool {
        guard isStreaming else { return stage == .finishing }
        output += FrameStream.compose(.stop)
        stage = .finishing
        deadline = now + 1_000_000_000
        flush(now: now, poller)
        return stage == .finishing
    }
}
