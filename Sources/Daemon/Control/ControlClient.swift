import Foundation
import Glibc
public import Kernel

/// Asks the daemon of a state directory. Blocks its thread.
public struct ControlClient: Sendable {
    public enum Failure: Error, CustomStringConvertible, Sendable {
        /// No daemon listens.
        case notRunning(state: String)
        /// The daemon does not answer in time, or not in JSON.
        case noAnswer(String)
        /// The daemon did not do it, and says why.
        case refused(String)
        case kernel(KernelError)

        public var description: String {
            switch self {
            case .notRunning(let state): "webtun is not running with the state directory \(state)"
            case .noAnswer(let reason): "the running webtun does not answer: \(reason)"
            case .refused(let reason): reason
            case .kernel(let error): error.description
            }
        }
    }

    private let state: String
    private let patience: Int

    /// - Parameter patience: how many seconds to wait for the answer.
    public init(state: String, patience: Int = 10) {
        self.state = state
        self.patience = patience
    }

    /// The path of the control socket of a state directory.
    public static func path(state: String) -> String { state + "/control.sock" }

    /// Sends the request and returns the state of the daemon after it.
    public func request(_ request: ControlRequest) throws(Failure) -> DaemonStatus {
        try ask(request).status
    }

    /// Has the daemon read its configuration anew. Returns what did not take effect by that.
    public func reload() throws(Failure) -> [String] {
        try ask(.reload).notes
    }

    /// What the daemon's cache holds of a question.
    public func cached(_ name: String, qtype: UInt16) throws(Failure) -> CachedAnswer? {
        try ask(.cached(name: name, qtype: qtype)).cached
    }

    private func ask(
        _ request: ControlRequest
    ) throws(Failure) -> (status: DaemonStatus, notes: [String], cached: CachedAnswer?) {
        let line: [UInt8]
        do {
            line = try exchange(request.line)
        } catch {
            switch error.errno.code {
            case ENOENT, ECONNREFUSED, ENOTDIR: throw .notRunning(state: state)
            case EAGAIN: throw .noAnswer("it waited \(patience) seconds")
            case EPIPE, ECONNRESET: throw .noAnswer("it closed the connection")
            default: throw .kernel(error)
            }
        }
        guard let reply = try? JSONDecoder().decode(ControlReply.self, from: Data(line)) else {
            throw .noAnswer("its answer is of another version")
        }
        guard reply.ok, let status = reply.status else { throw .refused(reply.error ?? "it gives no reason") }
        return (status, reply.notes ?? [], reply.cached)
    }

    private func exchange(_ request: [UInt8]) throws(KernelError) -> [UInt8] {
        let path = ControlClient.path(state: state)
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let descriptor = try Descriptor(socket(AF_UNIX, kind, 0), "open a socket")
        var patience = timeval(tv_sec: patience, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            unsafe setsockopt(
                descriptor.number, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
        guard unsafe try UnixAddress(path).withSockaddr({ unsafe connect(descriptor.number, $0, $1) }) == 0 else {
            throw KernelError("connect to \(path)")
        }
        let sent = unsafe request.withUnsafeBytes { bytes in
            unsafe send(descriptor.number, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
        }
        guard sent == request.count else { throw KernelError("write to \(path)") }
        var reply: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while reply.last != UInt8(ascii: "\n") {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe descriptor.read(into: $0) }
            if count == -Int(EINTR) { continue }
            guard count > 0 else {
                throw KernelError("read from \(path)", Errno(count == 0 ? ECONNRESET : CInt(-count)))
            }
            reply += chunk[..<count]
        }
        return reply
    }
}
