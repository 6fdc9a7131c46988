import Foundation
import QueryLog
import Testing
import Wire

@testable import Export

@Suite struct DnstapMessageTests {
    @Test func theBytesOfAnAnswer() {
        var composer = DnstapComposer(identity: "host", version: "1.0", listName: { "list\($0)" })
        let bytes = composer.compose(TapRow(.answer, row(), resolverPort: 53), ([0xaa, 0xbb] as [UInt8]).span.bytes)
        let expected: [UInt8] =
            [0x0a, 4] + Array("host".utf8)  // 1: identity
            + [0x12, 10] + Array("webtun 1.0".utf8)  // 2: version
            + [0x72, 49]  // 14: message
            + [0x08, 6]  // 1: type = CLIENT_RESPONSE
            + [0x10, 1]  // 2: socket_family = INET
            + [0x18, 1]  // 3: socket_protocol = UDP
            + [0x22, 4, 192, 0, 2, 10]  // 4: query_address
            + [0x2a, 4, 198, 51, 100, 53]  // 5: response_address
            + [0x30, 0xb4, 0x24]  // 6: query_port = 4660
            + [0x38, 53]  // 7: response_port
            + [0x40, 0x80, 0xf2, 0xd6, 0xca, 0x06]  // 8: query_time_sec = 1767225600
            + [0x4d, 0x00, 0xca, 0x5b, 0x07]  // 9: query_time_nsec = 123456000, fixed
            + [0x60, 0x80, 0xf2, 0xd6, 0xca, 0x06]  // 12: response_time_sec
            + [0x6d, 0xa0, 0xef, 0x81, 0x07]  // 13: response_time_nsec = 125956000
            + [0x72, 2, 0xaa, 0xbb]  // 14: response_message
            + [0x78, 1]  // 15: type = MESSAGE
        #expect(bytes == expected)
    }

    @Test func aQueryOverTCPAndIPv6() {
        var composer = DnstapComposer(identity: "", version: "1", listName: { _ in nil })
        let tap = TapRow(
            .query,
            row {
                $0.client = IPAddress("2001:db8::5")!
                $0.resolver = IPAddress("2001:db8::53")!
                $0.transport = .tcp
            }, resolverPort: 53)
        let bytes = composer.compose(tap, ([1] as [UInt8]).span.bytes)
        let text = bytes.map { String(format: "%02x", $0) }.joined()
        // Query, INET6, TCP, the addresses; query_message but no response.
        #expect(text.contains("08051002180222" + "10" + "20010db8000000000000000000000005"))
        #expect(text.contains("2a10" + "20010db8000000000000000000000053") && text.contains("520101"))
        #expect(!text.contains("720101"))
    }

    @Test func aBlockedAnswerNamesItsPolicy() {
        var composer = DnstapComposer(identity: "", version: "1", listName: { "list\($0)" })
        let blocked = row {
            $0.verdict = .block
            $0.list = 7
        }
        let bytes = composer.compose(TapRow(.answer, blocked, resolverPort: 53), ([1] as [UInt8]).span.bytes)
        let policy: [UInt8] =
            [0x7a, 19, 0x0a, 6] + Array("webtun".utf8) + [0x12, 5] + Array("list7".utf8) + [0x18, 6, 0x20, 1]
        #expect(String(decoding: bytes, as: UTF8.self).contains("list7"))
        #expect(bytes.indices.contains { bytes[$0...].starts(with: policy) })
    }
}

@Suite struct FrameStreamTests {
    @Test func theBytesOfControlFrames() {
        let type = Array("protobuf:dnstap.Dnstap".utf8)
        // As fstrm writes them: escape, length, READY, field CONTENT_TYPE, its length, the type.
        #expect(FrameStream.compose(.ready) == [0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 22] + type)
        #expect(FrameStream.compose(.start)[8..<12] == [0, 0, 0, 2])
        #expect(FrameStream.compose(.stop) == [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3])
        #expect(FrameStream.parse(FrameStream.compose(.accept)) == .control(.accept, byteCount: 42))
        #expect(FrameStream.parse([0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5, 9]) == .control(.finish, byteCount: 12))
    }

    @Test func framesThatAreCutWait() {
        let whole = FrameStream.compose(.accept)
        for count in 0..<whole.count { #expect(FrameStream.parse(Array(whole[..<count])) == .more) }
    }

    @Test func nonsenseIsRefused() {
        #expect(FrameStream.parse([0, 0, 0, 1, 0, 0, 0, 4]) == .broken("a data frame"))
        #expect(FrameStream.parse([0, 0, 0, 0, 0, 0, 0, 3]) == .broken("a control frame of 3 bytes"))
        #expect(FrameStream.parse([0, 0, 0, 0, 0xff, 0, 0, 0]) == .broken("a control frame of 4278190080 bytes"))
        #expect(FrameStream.parse([0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 9]) == .broken("control 9"))
        #expect(
            FrameStream.parse([0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x78])
                == .broken("another content type"))
        #expect(
            FrameStream.parse([0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])
                == .broken("an unknown field"))
    }

    @Test func randomBytesNeverTrap() {
        let seed = UInt64.random(in: 1 ... .max)
        var random = seed
        for _ in 0..<20_000 {
            var bytes: [UInt8] = [0, 0, 0, 0, 0, 0, 0]
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            for shift in 0..<Int(random % 40) { bytes.append(UInt8(truncatingIfNeeded: random >> UInt64(shift))) }
            _ = FrameStream.parse(bytes)
        }
    }
}

/// Real receivers: fstrm_capture takes the stream, dnstap-ldns reads what it wrote.
@Suite struct DnstapReceiverTests {
    let scratch = Scratch()

    func options(_ endpoint: String) -> Exporter.Options {
        var options = Exporter.Options()
        options.dnstap = Endpoint(endpoint)
        options.dnstapQueries = true
        options.identity = "test host"
        options.version = "0"
        return options
    }

    /// What dnstap-ldns makes of a capture file, a line a message.
    func lines(_ file: String) throws -> [Substring] {
        try Peer(["dnstap-ldns", "-q", "-r", file]).text().split(separator: "\n")
    }

    func exchange(_ endpoint: String, _ receiver: [String]) throws -> [Substring] {
        let file = scratch.path + "/out.fstrm"
        let capture = try Peer(["fstrm_capture", "-t", "protobuf:dnstap.Dnstap", "-w", file] + receiver)
        let running = try Running(options(endpoint))
        // The receiver may listen a little later than it is called.
        #expect(eventually { running.exporter.status.dnstapProblem == nil }, "\(running.exporter.status)")
        for number in 0..<500 {
            running.exporter.ring.add(
                row { $0.clientPort = UInt16(number + 1000) }, message("n\(number).example"),
                kind: number % 2 == 0 ? .query : .answer)
        }
        running.stop()
        #expect(running.exporter.status.dnstapFrames == 500)
        #expect(running.exporter.status.dnstapDropped == 0 && running.exporter.status.dropped == 0)
        // It has said FINISH, so it has everything.
        capture.stop(SIGINT)
        return try lines(file)
    }

    @Test func overAUnixSocket() throws {
        let socket = scratch.path + "/tap.sock"
        let lines = try exchange("unix:\(socket)", ["-u", socket])
        #expect(lines.count == 500)
        #expect(lines.first?.contains("CQ 192.0.2.10") == true, "\(lines.first ?? "")")
        #expect(lines.first?.contains("\"n0.example.\" IN A") == true, "\(lines.first ?? "")")
        #expect(lines.last?.contains("CR 192.0.2.10") == true, "\(lines.last ?? "")")
        #expect(lines.last?.contains("n499.example.") == true)
    }

    @Test func overTCP() throws {
        let port = UInt16.random(in: 40_000..<60_000)
        let lines = try exchange("tcp:127.0.0.1:\(port)", ["-a", "127.0.0.1", "-p", "\(port)"])
        #expect(lines.count == 500)
    }

    @Test func withoutAReceiverEverythingIsCountedAsLost() throws {
        let running = try Running(options("unix:\(scratch.path)/nobody"))
        for _ in 0..<100 { running.exporter.ring.add(row(), message("a.example")) }
        #expect(eventually { running.exporter.status.dnstapDropped == 100 })
        #expect(running.exporter.status.dnstapProblem?.contains("No such file") == true)
        let begun = Date()
        running.stop()
        #expect(Date().timeIntervalSince(begun) < 3)
    }

    @Test func aReceiverThatComesLaterOrAnewIsFound() throws {
        let socket = scratch.path + "/tap.sock"
        let running = try Running(options("unix:\(socket)"))
        #expect(eventually { running.exporter.status.dnstapProblem?.contains("No such file") == true })
        for round in 0..<2 {
            let file = scratch.path + "/out\(round)"
            let capture = try Peer(["fstrm_capture", "-t", "protobuf:dnstap.Dnstap", "-w", file, "-u", socket])
            #expect(eventually { running.exporter.status.dnstapProblem == nil })
            running.exporter.ring.add(row(), message("a.example"))
            let sent = round + 1
            #expect(eventually { running.exporter.status.dnstapFrames == sent })
            usleep(300_000)
            capture.stop(SIGINT)
            #expect(eventually { running.exporter.status.dnstapProblem != nil })
            #expect(try lines(file).count == 1)
        }
        running.stop()
    }

    /// A receiver that shakes hands and then reads nothing: the rest is dropped and counted, and nobody waits.
    @Test func aReceiverThatStallsHoldsUpNobody() throws {
        let path = scratch.path + "/stall.sock"
        let receiver = try Peer([
            "python3", "-c",
            """
            import socket, struct, time
            s = socket.socket(socket.AF_UNIX); s.bind('\(path)'); s.listen(1)
            c, _ = s.accept()
            def frame(): 
                c.recv(4, socket.MSG_WAITALL); n, = struct.unpack('>I', c.recv(4, socket.MSG_WAITALL))
                return c.recv(n, socket.MSG_WAITALL)
            t = b'protobuf:dnstap.Dnstap'
            body = struct.pack('>III', 1, 1, len(t)) + t
            frame(); c.sendall(struct.pack('>II', 0, len(body)) + body); frame()
            time.sleep(30)
            """,
        ])
        let running = try Running(options("unix:\(path)"))
        #expect(eventually { running.exporter.status.dnstapProblem == nil })
        let bytes = message("a.example") + [UInt8](repeating: 0, count: 1000)
        var slowest = 0.0
        for _ in 0..<20_000 {
            let begun = ContinuousClock.now
            running.exporter.ring.add(row(), bytes)
            let took = (ContinuousClock.now - begun).components
            slowest = max(slowest, Double(took.attoseconds) / 1e18)
        }
        #expect(eventually { running.exporter.status.dnstapDropped > 1000 })
        #expect(slowest < 0.5)
        let begun = Date()
        running.stop()
        #expect(Date().timeIntervalSince(begun) < 5)
        receiver.stop()
        let status = running.exporter.status
        // The ring may have been full too; nothing is unaccounted for.
        #expect(status.dropped + status.dnstapDropped <= 20_000 && status.dropped + status.dnstapDropped > 10_000)
    }
}
