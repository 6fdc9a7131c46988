import Foundation
import Glibc
import Kernel
import Testing

@testable import Daemon

@Suite struct ControlTests {
    static func status(filtering: Bool = true) -> DaemonStatus {
        DaemonStatus(
            version: "1", pid: 7, uptime: 9, filtering: filtering, problems: [], capture: "link", mode: "dns",
            fail: "closed", links: ["eth0"], serve: [], names: 3, upstreams: ["192.0.2.1:53"], pausedUntil: nil,
            counters: .init())
    }

    /// Serves in `folder` while `body` runs on a thread of its own.
    func serving(
        _ folder: Folder, handler: @escaping ControlServer.Handler = { _ in .done(ControlTests.status()) },
        _ body: @escaping @Sendable (String) throws -> Void
    ) async throws {
        let path = ControlClient.path(state: folder.path)
        let server = try ControlServer(path: path, handler: handler)
        let serving = Task { await server.run() }
        let failure: (any Error)? = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                do {
                    try body(path)
                    continuation.resume(returning: nil)
                } catch {
                    continuation.resume(returning: error)
                }
            }
        }
        serving.cancel()
        await serving.value
        #expect(!FileManager.default.fileExists(atPath: path))
        if let failure { throw failure }
    }

    /// A client that says exactly what a test wants.
    struct RawClient {
        let number: CInt

        init(_ path: String) throws {
            number = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
            let result = try UnixAddress(path).withSockaddr { connect(number, $0, $1) }
            guard result == 0 else { throw KernelError("connect") }
            var patience = timeval(tv_sec: 5, tv_usec: 0)
            setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        }

        func send(_ text: String) {
            let bytes = Array(text.utf8)
            var sent = 0
            while sent < bytes.count {
                let count = bytes[sent...].withUnsafeBytes {
                    Glibc.send(number, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
                }
                if count <= 0 { return }
                sent += count
            }
        }

        /// Up to a line end, or to the end of the connection.
        func line() -> String {
            var bytes: [UInt8] = []
            var byte: UInt8 = 0
            while read(number, &byte, 1) == 1, byte != UInt8(ascii: "\n") { bytes.append(byte) }
            return String(decoding: bytes, as: UTF8.self)
        }

        func end() { close(number) }
    }

    @Test func carriesRequestsAndReplies() async throws {
        let folder = try Folder()
        try await serving(folder) { request in
            switch request {
            case .status: return .done(ControlTests.status())
            case .cached: return .refused("nothing is cached")
            case .pause(let seconds):
                var status = ControlTests.status(filtering: false)
                status.pausedUntil = seconds.map(Int64.init) ?? -1
                return .done(status)
            case .resume: return .refused("not paused")
            case .reload: return .done(ControlTests.status())
            }
        } _: { (path: String) throws in
            let client = ControlClient(state: (path as NSString).deletingLastPathComponent)
            #expect(try client.request(.status) == ControlTests.status())
            #expect(try client.request(.pause(seconds: 300)).pausedUntil == 300)
            #expect(try client.request(.pause(seconds: nil)).pausedUntil == -1)
            #expect(try client.request(.reload).names == 3)
            do {
                _ = try client.request(.resume)
                Issue.record("must be refused")
            } catch {
                #expect("\(error)" == "not paused")
            }
        }
    }

    @Test func theSocketIsItsOwnersOnly() async throws {
        let folder = try Folder()
        // A file that a dead daemon left is replaced.
        _ = try folder.write("control.sock", "stale")
        try await serving(folder) { (path: String) throws in
            var information = stat()
            #expect(stat(path, &information) == 0)
            #expect(information.st_mode == S_IFSOCK | 0o600)
        }
    }

    @Test func refusesWhatIsNoRequest() async throws {
        let folder = try Folder()
        try await serving(folder) { (path: String) throws in
            let client = try RawClient(path)
            for (line, reason) in [
                ("hello", "a request is one JSON object a line with a member \\\"request\\\""),
                ("", "a request is one JSON object a line with a member \\\"request\\\""),
                ("{\"request\":\"fly\"}", "unknown request \\\"fly\\\""),
                ("{\"request\":\"pause\",\"seconds\":0}", "\\\"seconds\\\" must be above 0"),
                (
                    "{\"request\":\"pause\",\"seconds\":-1}",
                    "a request is one JSON object a line with a member \\\"request\\\""
                ),
                ("{\"request\":\"status\",\"seconds\":1}", "\\\"status\\\" takes no \\\"seconds\\\""),
            ] {
                client.send(line + "\n")
                #expect(client.line() == "{\"error\":\"\(reason)\",\"ok\":false}")
            }
            // And it still serves, several requests at once and in pieces.
            client.send("{\"request\":\"status\"}\n{\"request\":\"sta")
            #expect(client.line().contains("\"ok\":true"))
            client.send("tus\"}\n")
            #expect(client.line().contains("\"ok\":true"))
            client.end()
        }
    }

    @Test func refusesAnOversizedLine() async throws {
        let folder = try Folder()
        try await serving(folder) { (path: String) throws in
            for size in [ControlServer.maximumLine + 1, 1 << 20] {
                let client = try RawClient(path)
                client.send(String(repeating: "x", count: size))
                #expect(client.line() == "{\"error\":\"a request has at most 4096 bytes\",\"ok\":false}")
                #expect(client.line() == "")
                client.end()
            }
            let client = try RawClient(path)
            client.send("{\"request\":\"status\"" + String(repeating: " ", count: 4000) + "}\n")
            #expect(client.line().contains("\"ok\":true"))
            client.end()
        }
    }

    @Test func aClientThatHangsBlocksNobody() async throws {
        let folder = try Folder()
        try await serving(folder) { (path: String) throws in
            let state = (path as NSString).deletingLastPathComponent
            let silent = try (0..<8).map { _ in try RawClient(path) }
            silent[0].send("{\"request\"")
            // This one never reads its replies.
            let deaf = try RawClient(path)
            for _ in 0..<100 { deaf.send("{\"request\":\"status\"}\n") }
            #expect(try ControlClient(state: state, patience: 5).request(.status).pid == 7)
            // Nor do too many.
            let crowd = try (0..<40).map { _ in try RawClient(path) }
            #expect(crowd[39].line() == "{\"error\":\"too many connections; try again\",\"ok\":false}")
            for client in silent + crowd { client.end() }
            deaf.end()
            var answered = false
            for _ in 0..<100 where !answered {
                answered = (try? ControlClient(state: state, patience: 5).request(.status)) != nil
                if !answered { usleep(20_000) }
            }
            #expect(answered)
        }
    }

    @Test func tellsWhenNobodyListens() throws {
        let folder = try Folder()
        for _ in 0..<2 {
            do {
                _ = try ControlClient(state: folder.path).request(.status)
                Issue.record("must fail")
            } catch {
                #expect(error.description == "webtun is not running with the state directory \(folder.path)")
            }
            // A socket whose daemon is dead.
            let address = try UnixAddress(ControlClient.path(state: folder.path))
            let number = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
            _ = address.withSockaddr { bind(number, $0, $1) }
            close(number)
        }
    }

    @Test func refusesAPathThatIsTooLong() throws {
        #expect(throws: KernelError.self) { try UnixAddress(String(repeating: "a", count: 108)) }
        #expect(throws: KernelError.self) { try UnixAddress("") }
        _ = try UnixAddress(String(repeating: "a", count: 107))
    }
}
