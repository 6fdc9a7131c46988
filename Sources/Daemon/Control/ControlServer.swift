import Glibc
import Kernel
import Synchronization

/// The control socket: one request a line, one reply a line, several clients at a time.
///
/// One thread serves all connections without ever waiting for one of them; `handler` runs as a task. A line longer
/// than `maximumLine` is refused, a client that neither sends nor reads for `patience` is dropped.
final class ControlServer: Sendable {
    typealias Handler = @Sendable (ControlRequest) async -> ControlReply

    /// Bytes of a request without its line end.
    static let maximumLine = 4096
    static let maximumConnections = 32
    /// Seconds.
    static let patience: UInt64 = 10

    private let path: String
    private let handler: Handler
    private let listener: Descriptor
    /// The serving thread holds it as long as it serves.
    private let poller: Mutex<Poller>
    private let wakeup: Wakeup
    private let outbox = Mutex(Outbox())

    private struct Outbox {
        var replies: [(connection: UInt64, bytes: [UInt8])] = []
        var isStopping = false
    }

    /// Listens. A socket file that a dead daemon left is replaced: call with the instance lock held.
    ///
    /// - Throws: `KernelError` naming the path.
    init(path: String, handler: @escaping Handler) throws(KernelError) {
        self.path = path
        self.handler = handler
        wakeup = try Wakeup()
        listener = try ControlServer.listen(on: path)
        let poller = try Poller()
        try poller.add(listener.number, tag: 0, .read)
        try poller.add(wakeup.number, tag: 1, .read)
        self.poller = Mutex(poller)
    }

    private static func listen(on path: String) throws(KernelError) -> Descriptor {
        let address = try UnixAddress(path)
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let listener = try Descriptor(socket(AF_UNIX, kind, 0), "open a control socket")
        let number = listener.number
        unsafe unlink(path)
        // The kernel gives the file the mode of the socket (`unix_bind_bsd` of net/unix/af_unix.c).
        guard fchmod(number, 0o600) == 0, unsafe address.withSockaddr({ unsafe bind(number, $0, $1) }) == 0,
            Glibc.listen(number, 16) == 0
        else { throw KernelError("listen on \(path)") }
        return listener
    }

    /// Serves until the task is cancelled, then removes the socket.
    func run() async {
        await withTaskCancellationHandler {
            await OwnThread.run("webtun-control") { self.poller.withLock { self.serve($0) } }
        } onCancel: {
            outbox.withLock { $0.isStopping = true }
            wakeup.signal()
        }
        unsafe unlink(path)
    }

    /// A client. Used by the serving thread only.
    private final class Connection {
        let descriptor: Descriptor
        var input: [UInt8] = []
        var output: [UInt8] = []
        /// A request is with the handler; the next one waits.
        var isBusy = false
        var closesWhenWritten = false
        /// Nanoseconds of the monotonic clock.
        var deadline: UInt64

        init(_ number: CInt, deadline: UInt64) {
            descriptor = Descriptor(owning: number)
            self.deadline = deadline
        }
    }

    private func serve(_ poller: borrowing Poller) {
        var connections: [UInt64: Connection] = [:]
        var next: UInt64 = 2
        while !outbox.withLock({ $0.isStopping }) {
            for index in 0..<poller.wait(milliseconds: connections.isEmpty ? -1 : 1000) {
                let event = poller.event(index)
                if event.tag == 0 {
                    accept(poller, &connections, &next)
                } else if event.tag == 1 {
                    wakeup.clear()
                } else if let connection = connections[event.tag] {
                    if event.ready.contains(.read) || event.ready.contains(.failure) {
                        guard receive(connection, event.tag) else {
                            connections[event.tag] = nil
                            continue
                        }
                    }
                    if !send(connection, event.tag, poller) { connections[event.tag] = nil }
                }
            }
            for reply in outbox.withLock({ outbox in
                defer { outbox.replies = [] }
                return outbox.replies
            }) {
                guard let connection = connections[reply.connection] else { continue }
                connection.output += reply.bytes
                connection.isBusy = false
                connection.deadline = ControlServer.deadline()
                takeLines(connection, reply.connection)
                if !send(connection, reply.connection, poller) { connections[reply.connection] = nil }
            }
            let now = Clock.monotonic()
            connections = connections.filter { $0.value.isBusy || $0.value.deadline > now }
        }
    }

    private static func deadline() -> UInt64 { Clock.monotonic() + patience * 1_000_000_000 }

    private func accept(_ poller: borrowing Poller, _ connections: inout [UInt64: Connection], _ next: inout UInt64) {
        while true {
            let number = Glibc.accept(listener.number, nil, nil)
            guard number >= 0 else { return }
            _ = fcntl(number, F_SETFD, FD_CLOEXEC)
            _ = fcntl(number, F_SETFL, O_NONBLOCK)
            let connection = Connection(number, deadline: ControlServer.deadline())
            if connections.count >= ControlServer.maximumConnections {
                connection.output = JSONLine.compose(ControlReply.refused("too many connections; try again"))
                _ = unsafe connection.output.withUnsafeBytes { unsafe connection.descriptor.write($0) }
                continue
            }
            guard (try? poller.add(number, tag: next, .read)) != nil else { continue }
            connections[next] = connection
            next += 1
        }
    }

    /// Reads what is there; false when the client is gone.
    private func receive(_ connection: Connection, _ tag: UInt64) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 4096)
        let count = unsafe chunk.withUnsafeMutableBytes { unsafe connection.descriptor.read(into: $0) }
        if count == -Int(EAGAIN) || count == -Int(EINTR) { return true }
        guard count > 0 else { return false }
        guard !connection.closesWhenWritten else { return true }
        connection.input += chunk[..<count]
        takeLines(connection, tag)
        return true
    }

    /// Hands the first whole line to the handler, unless one is there already.
    private func takeLines(_ connection: Connection, _ tag: UInt64) {
        while !connection.isBusy, !connection.closesWhenWritten {
            guard let end = connection.input.firstIndex(of: UInt8(ascii: "\n")) else { break }
            guard end <= ControlServer.maximumLine else { break }
            let line = Array(connection.input[..<end])
            connection.input.removeSubrange(...end)
            do {
                let request = try ControlRequest.parse(line)
                connection.isBusy = true
                Task {
                    let reply = JSONLine.compose(await handler(request))
                    outbox.withLock { $0.replies.append((tag, reply)) }
                    wakeup.signal()
                }
            } catch {
                connection.output += JSONLine.compose(ControlReply.refused(error.reason))
            }
        }
        let pending = connection.input.firstIndex(of: UInt8(ascii: "\n")) ?? connection.input.count
        if pending > ControlServer.maximumLine || connection.input.count > 16 * ControlServer.maximumLine {
            let reason = "a request has at most \(ControlServer.maximumLine) bytes"
            connection.output += JSONLine.compose(ControlReply.refused(reason))
            connection.input = []
            connection.closesWhenWritten = true
        }
    }

    /// Writes what the client takes now; false when it is finished or gone.
    private func send(_ connection: Connection, _ tag: UInt64, _ poller: borrowing Poller) -> Bool {
        while !connection.output.isEmpty {
            let count = unsafe connection.output.withUnsafeBytes { bytes in
                unsafe Glibc.send(connection.descriptor.number, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
            }
            if count > 0 {
                connection.output.removeFirst(count)
            } else if errno == EAGAIN {
                return (try? poller.modify(connection.descriptor.number, tag: tag, [.read, .write])) != nil
            } else if errno != EINTR {
                return false
            }
        }
        if connection.closesWhenWritten { return false }
        return (try? poller.modify(connection.descriptor.number, tag: tag, .read)) != nil
    }
}
