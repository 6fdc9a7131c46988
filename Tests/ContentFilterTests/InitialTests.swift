import TestPackets
import Testing
import Wire

@testable import ContentFilter

/// QUIC Initials: RFC 9001 appendix A, RFC 9369 appendix A, and real clients.
@Suite struct InitialTests {
    private let flow = TestFlow()
    private static let connection = hex("8394c8f03e515708")

    private func bytes<let count: Int>(_ array: InlineArray<count, UInt8>) -> [UInt8] {
        (0..<count).map { array[$0] }
    }

    @Test func keysOfVersion1() {
        // RFC 9001 appendix A.1, the client's.
        let keys = InitialKeys(version: .v1, destination: InitialTests.connection.span.bytes)
        #expect(bytes(keys.key) == hex("1f369613dd76d5467730efcbe3b1a22d"))
        #expect(bytes(keys.iv) == hex("fa044b2f42a3fd3b46fb255c"))
        #expect(bytes(keys.headerKey) == hex("9f50449e04a0e810283a1e9933adedd2"))
    }

    @Test func keysOfVersion2() {
        // RFC 9369 appendix A.1, the client's.
        let keys = InitialKeys(version: .v2, destination: InitialTests.connection.span.bytes)
        #expect(bytes(keys.key) == hex("8b1a0bc121284290a29e0971b5cd045d"))
        #expect(bytes(keys.iv) == hex("91f73e2351d8fa91660e909f"))
        #expect(bytes(keys.headerKey) == hex("45b95e15235d6f45a6b19cbcb0294ba9"))
    }

    @Test(arguments: [("rfc9001-a2", QUICPacket.Version.v1), ("rfc9369-a2", .v2)])
    func thePacketsOfTheRFCs(file: String, version: QUICPacket.Version) throws {
        let datagram = try golden(file)[0]
        let found = QUICPacket(datagram.span.bytes, at: 0)
        let packet = try #require(found)
        #expect(packet.version == version && packet.isInitial && packet.number == 18 && packet.end == 1200)
        var opener = InitialOpener()
        let keys = InitialKeys(version: version, destination: InitialTests.connection.span.bytes)
        let isOpen = opener.open(datagram.span.bytes, number: packet.number, keys: keys)
        #expect(isOpen)
        // The CRYPTO frame of RFC 9001 appendix A.2, then PADDING.
        let frames = array(opener.frames)
        #expect(frames.count == 1162 && Array(frames[..<9]) == hex("060040f1010000ed03"))
        #expect(frames[245...].allSatisfy { $0 == 0 })
        var peek = NamePeek(capacity: 1)
        #expect(peek.run([flow.datagram(datagram)]) == .name(.quic) && peek.name == Name("example.com"))
        // A changed bit anywhere, header included, is not authentic.
        for at in [0, 18, 19, 22, 600, 1183, 1199] {
            var changed = datagram
            changed[at] ^= 1
            let isOpen = opener.open(changed.span.bytes, number: 18, keys: keys)
            #expect(!isOpen, "byte \(at)")
        }
    }

    @Test(arguments: [
        ("aioquic-v1", "aioquic.example.com"), ("aioquic-v2", "aioquic2.example.com"),
        ("chrome146-h3", "h3.example.com"),
    ])
    func realClientsAreNamed(file: String, name: String) throws {
        let datagrams = try golden(file).map { flow.datagram($0) }
        var peek = NamePeek(capacity: 1)
        #expect(peek.run(datagrams) == .name(.quic) && peek.name == Name(name))
        // In the other order, and with each datagram twice.
        #expect(peek.run(datagrams.reversed()) == .name(.quic) && peek.name == Name(name))
        #expect(peek.run(datagrams.flatMap { [$0, $0] }) == .name(.quic))
        #expect(peek.halfRead == 0)
    }

    @Test func aHelloOverTwoDatagramsNeedsBoth() throws {
        let datagrams = try golden("chrome146-h3").map { flow.datagram($0) }
        var peek = NamePeek(capacity: 1)
        for datagram in datagrams { #expect(peek.run([datagram, datagram]) == .more) }
    }

    @Test func superPacketsAreSplit() throws {
        // UDP segmentation offload: both datagrams behind one header.
        let both = try golden("chrome146-h3").flatMap { $0 }
        var peek = NamePeek(capacity: 1)
        #expect(peek.run([flow.datagram(both)], segmentSize: 1200) == .name(.quic))
        #expect(peek.name == Name("h3.example.com"))
    }

    @Test func framesInAnyOrder() {
        let message = TestHello.message(
            TestHello.serverName("scattered.example") + TestHello.ext(21, .init(repeating: 0, count: 900)))
        let pieces = stride(from: 0, to: message.count, by: 97).map { at in
            TestQUIC.crypto(at, Array(message[at..<min(at + 97, message.count)]))
        }
        var peek = NamePeek(capacity: 1)
        for version in [QUICPacket.Version.v1, .v2] {
            let quic = TestQUIC(version: version)
            // Each frame in a packet of its own, last first, among PING, ACK, ACK_ECN and PADDING.
            let ack: [UInt8] = [2, 0x40, 200, 0, 1, 3, 1, 1] + [3, 5, 0, 0, 0, 1, 2, 3]
            let datagrams = pieces.reversed().enumerated().map { index, piece in
                flow.datagram(quic.initial(number: index, [1, 0, 0] + ack + piece + [0]))
            }
            #expect(peek.run(datagrams) == .name(.quic) && peek.name == Name("scattered.example"))
            // All in one packet; as coalesced packets of one datagram, the last one cut.
            #expect(
                peek.run([flow.datagram(quic.initial(number: 7, pieces.reversed().flatMap { $0 }))]) == .name(.quic))
            let coalesced = pieces.enumerated().flatMap { quic.initial(number: $0.offset, $0.element) }
            #expect(peek.run([flow.datagram(coalesced + [0xc0, 0, 0])]) == .name(.quic))
        }
    }

    @Test func tokensAndConnectionIDsOfAnyLength() {
        let message = TestHello.message(TestHello.serverName("a.example"))
        var peek = NamePeek(capacity: 1)
        for (destination, source, token) in [(8, 0, 0), (20, 20, 300), (0, 1, 63), (14, 8, 64)] {
            let quic = TestQUIC(
                destination: .init(repeating: 5, count: destination), source: .init(repeating: 6, count: source),
                token: .init(repeating: 7, count: token))
            #expect(peek.run([flow.datagram(quic.initial(number: 0, TestQUIC.crypto(0, message)))]) == .name(.quic))
        }
        for (destination, source) in [(21, 0), (8, 21)] {
            let quic = TestQUIC(
                destination: .init(repeating: 5, count: destination), source: .init(repeating: 6, count: source))
            #expect(
                peek.run([flow.datagram(quic.initial(number: 0, TestQUIC.crypto(0, message)))]) == .none(.otherProtocol)
            )
        }
    }

    @Test func afterARetryTheClientBeginsAnew() {
        let message = TestHello.message(
            TestHello.ext(21, .init(repeating: 0, count: 100)) + TestHello.serverName("a.example"))
        let (front, back) = (Array(message[..<80]), Array(message[80...]))
        let first = TestQUIC(destination: .init(repeating: 1, count: 8))
        let second = TestQUIC(destination: .init(repeating: 2, count: 8), token: [1, 2, 3])
        var peek = NamePeek(capacity: 1)
        // What the first attempt sent is forgotten.
        let lost = [
            first.initial(number: 0, TestQUIC.crypto(0, front)), second.initial(number: 1, TestQUIC.crypto(80, back)),
        ]
        #expect(peek.run(lost.map { flow.datagram($0) }) == .more)
        let whole = lost + [second.initial(number: 2, TestQUIC.crypto(0, front))]
        #expect(peek.run(whole.map { flow.datagram($0) }) == .name(.quic))
        // Behind the server's answer the client uses the server's connection ID, but the keys stay.
        let third = TestQUIC(keys: first.destination, destination: .init(repeating: 3, count: 5))
        let going = [
            first.initial(number: 0, TestQUIC.crypto(0, front)), third.initial(number: 1, TestQUIC.crypto(80, back)),
        ]
        #expect(peek.run(going.map { flow.datagram($0) }) == .name(.quic))
    }

    @Test func whatIsNoInitial() throws {
        let datagram = try golden("aioquic-v1")[0]
        var peek = NamePeek(capacity: 1)
        let changed = { (at: Int, value: UInt8) in
            var copy = datagram
            copy[at] = value
            return flow.datagram(copy)
        }
        #expect(peek.run([changed(0, 0x40)]) == .none(.otherProtocol))  // a short header
        #expect(peek.run([changed(4, 0)]) == .none(.otherProtocol))  // Version Negotiation
        #expect(peek.run([changed(4, 9)]) == .none(.otherProtocol))  // a version unknown
        #expect(peek.run([changed(0, 0xf0)]) == .none(.otherProtocol))  // Retry
        #expect(peek.run([flow.datagram([])]) == .none(.otherProtocol))
        for count in 1..<60 { #expect(peek.run([flow.datagram(Array(datagram[..<count]))]) == .none(.otherProtocol)) }
        // WireGuard, DTLS, STUN.
        for first: UInt8 in [1, 22, 0] {
            #expect(peek.run([flow.datagram([first, 0, 0, 0] + datagram)]) == .none(.otherProtocol))
        }
        // 0-RTT may overtake; what a server ignores does not end it, unless nothing else comes.
        let quic = TestQUIC()
        let early = [0xd0] + Array(quic.initial(number: 0, [1])[1...])
        let hello = TestQUIC.crypto(0, TestHello.message(TestHello.serverName("a.example")))
        let zeroRTT = TestQUIC.withoutToken(early)
        #expect(peek.run([flow.datagram(zeroRTT), flow.datagram(quic.initial(number: 0, hello))]) == .name(.quic))
        #expect(peek.run([flow.datagram(zeroRTT + quic.initial(number: 0, hello))]) == .name(.quic))
        let silent = flow.datagram(quic.initial(number: 0, [1]))
        for noise in [[], [0x40, 1, 2, 3], Array(datagram[..<300]), [0xc0, 0, 0, 0, 9] + datagram] as [[UInt8]] {
            let packets = [[UInt8]](repeating: flow.datagram(noise), count: 32)
            #expect(peek.run([silent] + packets) == .none(.undecipherable))
            #expect(
                peek.run([silent] + packets[..<31] + [flow.datagram(quic.initial(number: 1, hello))]) == .name(.quic))
        }
        #expect(peek.halfRead == 0)
    }

    @Test func whatDoesNotDecryptIsGivenUp() {
        let quic = TestQUIC(keys: [9, 9])
        var peek = NamePeek(capacity: 1)
        let bad = flow.datagram(quic.initial(number: 0, TestQUIC.crypto(0, [1])))
        #expect(peek.run(.init(repeating: bad, count: 31)) == .more)
        #expect(peek.run(.init(repeating: bad, count: 32)) == .none(.undecipherable))
        let good = TestQUIC().initial(
            number: 0, TestQUIC.crypto(0, TestHello.message(TestHello.serverName("a.example"))))
        #expect(peek.run([bad, bad, flow.datagram(good)]) == .name(.quic))
        // Frames that an Initial may not hold, or that are cut.
        for frames: [UInt8] in [[8, 0], [6, 0, 9, 1], [6, 0xc0], [2, 1, 1, 9, 1], [2]] {
            #expect(peek.run([flow.datagram(TestQUIC().initial(number: 0, frames))]) == .none(.malformed), "\(frames)")
        }
        // Offsets beyond what is read, up to 2^62.
        let far = [6] + [UInt8](repeating: 0xff, count: 8) + [4, 1, 2, 3, 4]
        #expect(peek.run([flow.datagram(TestQUIC().initial(number: 0, far))]) == .more)
        #expect(
            peek.run([flow.datagram(TestQUIC().initial(number: 0, TestQUIC.crypto(0, TestHello.message([]))))])
                == .none(.unnamed))
    }
}
