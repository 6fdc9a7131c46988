import Foundation
import Glibc
import Kernel
import Testing
import Wire

@testable import Daemon

/// A query for `a.example A` with EDNS, as `webtun query` sends it.
private let query: [UInt8] =
    [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0x61, 7] + Array("example".utf8) + [0, 0, 1, 0, 1]
    + [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]

/// A reply to it without records.
private func reply(id: UInt8 = 0x34, flags: UInt8 = 0x80, name: String = "example") -> [UInt8] {
    [0x12, id, flags | 1, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 7] + Array(name.utf8) + [0, 0, 1, 0, 1]
}

/// A server on loopback that answers each query over UDP with `datagrams` and over TCP with `stream`.
private final class Server: Sendable {
    let address: SocketAddress
    private let udp: CInt
    private let tcp: CInt

    init(datagrams: [[UInt8]], stream: [UInt8]) throws {
        let any = SocketAddress(IPAddress(v4: 0x7f00_0001), port: 0)
        let udp = socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
        let tcp = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        self.udp = udp
        self.tcp = tcp
        _ = any.withSockaddr { bind(tcp, $0, $1) }
        let bound = try #require(SocketAddress.filled { pointer, length in getsockname(tcp, pointer, &length) })
        address = bound
        let result = bound.withSockaddr { bind(udp, $0, $1) }
        guard result == 0, listen(tcp, 4) == 0 else { throw KernelError("bind \(bound)") }
        Thread.detachNewThread {
            var buffer = [UInt8](repeating: 0, count: 512)
            while true {
                var from = sockaddr_in()
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let count = withUnsafeMutablePointer(to: &from) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        recvfrom(udp, &buffer, buffer.count, 0, $0, &length)
                    }
                }
                if count <= 0 { return }
                for datagram in datagrams {
                    _ = withUnsafePointer(to: &from) { pointer in
                        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                            sendto(udp, datagram, datagram.count, 0, $0, length)
                        }
                    }
                }
            }
        }
        Thread.detachNewThread {
            while true {
                let client = accept(tcp, nil, nil)
                if client < 0 { return }
                var buffer = [UInt8](repeating: 0, count: 512)
                _ = read(client, &buffer, buffer.count)
                // In two pieces.
                let message = [UInt8(stream.count >> 8), UInt8(stream.count & 255)] + stream
                _ = send(client, message, 1, CInt(MSG_NOSIGNAL))
                usleep(10_000)
                _ = message[1...].withUnsafeBytes { send(client, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
                close(client)
            }
        }
    }

    deinit {
        // Both threads' calls return then.
        shutdown(udp, CInt(SHUT_RDWR))
        shutdown(tcp, CInt(SHUT_RDWR))
        close(udp)
        close(tcp)
    }
}

@Suite struct QueryClientTests {
    @Test func takesOnlyTheReplyToItsQuery() throws {
        let other = [
            reply(id: 0x35), reply(name: "exampel"), reply(flags: 0), Array("short".utf8), reply(name: "EXAMPLE"),
        ]
        let server = try Server(datagrams: other, stream: [])
        let answer = try QueryClient(server: server.address, patience: 2).ask(query, isStream: false)
        #expect(answer.message == reply(name: "EXAMPLE"))
        #expect(!answer.isStream)
    }

    @Test func asksAgainOverTCPWhenTheReplyIsTruncated() throws {
        let server = try Server(datagrams: [reply(flags: 0x82)], stream: reply())
        let answer = try QueryClient(server: server.address, patience: 2).ask(query, isStream: false)
        #expect(answer.message == reply())
        #expect(answer.isStream)
    }

    @Test func asksOverTCPWhenToldTo() throws {
        let server = try Server(datagrams: [], stream: reply())
        #expect(try QueryClient(server: server.address, patience: 2).ask(query, isStream: true).message == reply())
        let wrong = try Server(datagrams: [], stream: reply(id: 9))
        #expect(throws: QueryClient.Failure.self) {
            try QueryClient(server: wrong.address, patience: 2).ask(query, isStream: true)
        }
    }

    @Test func givesUp() throws {
        // Nobody listens: the kernel says so.
        let closed = SocketAddress(IPAddress(v4: 0x7f00_0001), port: 1)
        do {
            _ = try QueryClient(server: closed, patience: 1).ask(query, isStream: true)
            Issue.record("must fail")
        } catch {
            #expect("\(error)" == "connect to 127.0.0.1:1: Connection refused")
        }
    }
}
