internal import Glibc
internal import Kernel

/// Answers `GET /metrics` over HTTP/1.1 (RFC 9112), one request a connection. It never waits for a client; one that neither
/// sends nor reads is dropped. The exporter's thread alone.
final class MetricsServer {
    private final class Connection {
        let descriptor: Descriptor
        var input: [UInt8] = []
        var output: [UInt8] = []
        var sent = 0
        /// Nanoseconds, monotonic.
        let deadline: UInt64

        init(_ number: CInt, deadline: UInt64) {
            descriptor = Descriptor(owning: number)
            self.deadline = deadline
        }
    }

    static let maximumConnections = 32
    /// Bytes of a request's head.
    static let maximumRequest = 8192
    /// Nanoseconds that a connection may take.
    static let patience: UInt64 = 5_000_000_000

    private let listener: Descriptor
    private let listenerTag: UInt64
    private var connections: [UInt64: Connection] = [:]
    private var nextTag: UInt64

    /// Listens.
    ///
    /// - Parameters:
    ///   - tag: of the listener in the poller; connections have those above.
    /// - Throws: `KernelError` naming the address.
    init(_ address: SocketAddress, tag: UInt64, _ poller: borrowing Poller) throws(KernelError) {
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let opened = try Descriptor(socket(address.family, kind, 0), "open a socket for metrics")
        let number = opened.number
        var on: CInt = 1
        unsafe setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<CInt>.size))
        guard unsafe address.withSockaddr({ unsafe bind(number, $0, $1) }) == 0, listen(number, 16) == 0 else {
            throw KernelError("listen for metrics on \(address)")
        }
        try poller.add(number, tag: tag, .read)
        listener = opened
        listenerTag = tag
        nextTag = tag + 1
    }

    var isIdle: Bool { connections.isEmpty }

    /// Handles an event of the listener or of a connection.
    func ready(
        _ tag: UInt64, _ event: Poller.Interest, now: UInt64, _ poller: borrowing Poller, _ metrics: () -> [Metric]
    ) {
        if tag == listenerTag { return accept(now, poller) }
        guard let connection = connections[tag] else { return }
        if event.contains(.read) || event.contains(.failure), !receive(connection, metrics) {
            connections[tag] = nil
            return
        }
        if !send(connection, tag, poller) { connections[tag] = nil }
    }

    /// Drops connections that took too long.
    func expire(now: UInt64) {
        if connections.isEmpty { return }
        connections = connections.filter { $0.value.deadline > now }
    }

    private func accept(_ now: UInt64, _ poller: borrowing Poller) {
        while true {
            let number = Glibc.accept(listener.number, nil, nil)
            guard number >= 0 else { return }
            _ = fcntl(number, F_SETFD, FD_CLOEXEC)
            _ = fcntl(number, F_SETFL, O_NONBLOCK)
            let connection = Connection(number, deadline: now + MetricsServer.patience)
            guard connections.count < MetricsServer.maximumConnections,
                (try? poller.add(number, tag: nextTag, .read)) != nil
            else { continue }
            connections[nextTag] = connection
            nextTag += 1
        }
    }

    /// Reads what is there, and answers a head that is complete. False when the client is gone.
    private func receive(_ connection: Connection, _ metrics: () -> [Metric]) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 4096)
        let count = unsafe chunk.withUnsafeMutableBytes { unsafe connection.descriptor.read(into: $0) }
        if count == -Int(EAGAIN) || count == -Int(EINTR) { return true }
        guard count > 0 else { return false }
        guard connection.output.isEmpty else { return true }
        connection.input += chunk[..<count]
        if let end = HTTPRequest.headEnd(connection.input) {
            connection.output = MetricsServer.answer(HTTPRequest(connection.input[..<end]), metrics)
        } else if connection.input.count > MetricsServer.maximumRequest {
            connection.output = HTTPRequest.response(431, "Request Header Fields Too Large", [], "too large\n")
        }
        return true
    }

    static func answer(_ request: HTTPRequest?, _ metrics: () -> [Metric]) -> [UInt8] {
        guard let request else { return HTTPRequest.response(400, "Bad Request", [], "this is no HTTP request\n") }
        guard request.method == "GET" || request.method == "HEAD" else {
            return HTTPRequest.response(
                405, "Method Not Allowed", ["Allow: GET, HEAD"], "GET /metrics is all there is\n")
        }
        let isHead = request.method == "HEAD"
        guard request.path == "/metrics" else {
            return HTTPRequest.response(404, "Not Found", [], "metrics are at /metrics\n", isHead: isHead)
        }
        return HTTPRequest.response(
            200, "OK", ["Content-Type: text/plain; version=0.0.4; charset=utf-8"],
            String(decoding: MetricsText.compose(metrics()), as: UTF8.self), isHead: isHead)
    }

    /// Sends what the client takes now; false when it is finished or gone.
    private func send(_ connection: Connection, _ tag: UInt64, _ poller: borrowing Poller) -> Bool {
        guard !connection.output.isEmpty else { return true }
        while connection.sent < connection.output.count {
            let count = unsafe connection.output[connection.sent...].withUnsafeBytes { bytes in
                unsafe Glibc.send(
                    connection.descriptor.number, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
            }
            if count > 0 {
                connection.sent += count
            } else if errno == EAGAIN {
                return (try? poller.modify(connection.descriptor.number, tag: tag, [.read, .write])) != nil
            } else if errno != EINTR {
                return false
            }
        }
        // The client has all of it and may read it after the end.
        shutdown(connection.descriptor.number, CInt(SHUT_WR))
        return false
    }
}

/// What the server needs of a request.
struct HTTPRequest: Equatable {
    var method: String
    /// Without the query.
    var path: String

    /// Behind the empty line that ends the head; nil when it is not there yet.
    static func headEnd(_ bytes: [UInt8]) -> Int? {
        var at = 0
        while at + 1 < bytes.count {
            if bytes[at] == 0x0a {
                if bytes[at + 1] == 0x0a { return at + 2 }
                if bytes[at + 1] == 0x0d, at + 2 < bytes.count, bytes[at + 2] == 0x0a { return at + 3 }
            }
            at += 1
        }
        return nil
    }

    /// Reads the request line of a head; nil when it is none.
    init?(_ head: ArraySlice<UInt8>) {
        let line = String(decoding: head.prefix { $0 != 0x0a && $0 != 0x0d }, as: UTF8.self)
        let parts = line.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[2].hasPrefix("HTTP/1."), parts[1].hasPrefix("/"), !parts[0].isEmpty else {
            return nil
        }
        method = String(parts[0])
        path = String(parts[1].prefix { $0 != "?" })
    }

    static func response(
        _ status: Int, _ reason: String, _ fields: [String], _ body: String, isHead: Bool = false
    ) -> [UInt8] {
        var lines = ["HTTP/1.1 \(status) \(reason)"] + fields
        if !fields.contains(where: { $0.hasPrefix("Content-Type") }) { lines.append("Content-Type: text/plain") }
        lines += ["Content-Length: \(body.utf8.count)", "Connection: close", "", ""]
        return Array((lines.joined(separator: "\r\n") + (isHead ? "" : body)).utf8)
    }
}
