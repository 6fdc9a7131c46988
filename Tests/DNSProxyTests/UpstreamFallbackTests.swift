import Glibc
import Kernel
import Testing
import Wire

@testable import DNSProxy

/// Servers that cannot do EDNS or do not keep the case, and replies that need TCP.
@Suite struct UpstreamFallbackTests {
    // MARK: EDNS

    @Test func formErrToEDNSIsAskedAgainWithoutAndRemembered() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            lab.ask("a.example")
            let query = try server.expect()
            #expect(query.hasEDNS)
            // RFC 6891 section 7: a server that does not know EDNS; many send no question back.
            server.send([query.bytes[0], query.bytes[1], 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0], to: query)
            lab.run()
            let plain = try server.expect()
            #expect(!plain.hasEDNS)
            #expect(plain.bytes.count == plain.questionEnd)
            server.send(plain.address(), to: plain)
            lab.run()
            #expect(lab.isAnswered)
            lab.ask("b.example")
            #expect(try server.expect().hasEDNS == false)
            lab.now += 601_000 * UpstreamLab.millisecond
            lab.ask("c.example")
            #expect(try server.expect().hasEDNS, "forgotten after ten minutes")
        }
    }

    @Test func formErrToPlainTooIsTheReply() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            lab.ask()
            for _ in 0..<2 {
                let query = try server.expect()
                server.send(query.reply(flags: 0x8181), to: query)
                lab.run()
            }
            #expect(lab.isAnswered)
            lab.ask()
            #expect(try server.expect().hasEDNS, "EDNS was not the reason")
        }
    }

    // MARK: Letter case

    @Test func lettersAreAskedInRandomCase() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            var spellings: Set<[UInt8]> = []
            for _ in 0..<32 {
                lab.ask("abcdefghijklmnop.example")
                let query = try server.expect()
                spellings.insert(query.letters)
                server.send(query.address(), to: query)
                try lab.runUntilDone()
            }
            #expect(spellings.count > 28, "23 letters: 32 equal spellings are as good as impossible")
        }
    }

    @Test func aReplyInAnotherCaseIsAskedForOverTCP() throws {
        try inNamespace {
            let server = try FakeServer()
            try server.listen()
            let lab = try UpstreamLab(server)
            var connection: CInt = -1
            for round in 0..<4 {
                lab.ask("abcdefghijklmnop\(round).example")
                let query = try server.expect()
                var reply = query.address(66)
                for index in 12..<query.questionEnd - 4 { reply[index] = Name.lower(reply[index]) }
                server.send(reply, to: query)
                lab.run()
                if round < 3 {
                    #expect(lab.done.count == round, "not believed")
                    if round == 0 { connection = try #require(server.accept().first) }
                    let again = try #require(server.receive(over: connection).first)
                    server.sendStream(again.address(UInt8(round)), to: again)
                    lab.run()
                    #expect(lab.done.last?.completion.isStream == true)
                    #expect(lab.done.last?.reply == again.address(UInt8(round)))
                } else {
                    #expect(query.letters == query.letters.map(Name.lower), "small letters after three times")
                    #expect(lab.done.last?.reply == reply)
                }
            }
            #expect(lab.done.count == 4)
        }
    }

    @Test func aServerWithoutCaseAndTCPIsAskedInSmallLetters() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            lab.ask("abcdefghijklmnopqrstuvwxyz.example")
            let query = try server.expect()
            var reply = query.address()
            for index in 12..<query.questionEnd - 4 { reply[index] = Name.lower(reply[index]) }
            server.send(reply, to: query)
            lab.run()
            let again = try server.expect("TCP is refused")
            #expect(again.letters == again.letters.map(Name.lower))
            server.send(again.address(), to: again)
            lab.run()
            #expect(lab.isAnswered)
        }
    }

    @Test func anotherQuestionThreeTimesIsAskedForOverTCP() throws {
        try inNamespace {
            let server = try FakeServer()
            try server.listen()
            let lab = try UpstreamLab(server)
            lab.ask()
            let query = try server.expect()
            var forged = query.address(66)
            forged[13] = UInt8(ascii: "x")
            for _ in 0..<3 {
                #expect(server.accept().isEmpty)
                server.send(forged, to: query)
                lab.run()
            }
            let connection = try #require(server.accept().first)
            let again = try #require(server.receive(over: connection).first)
            server.sendStream(again.address(1), to: again)
            lab.run()
            #expect(lab.done.last?.reply == again.address(1))
            #expect(lab.exchange.counters.rejected == 3)
        }
    }

    // MARK: TCP

    @Test func aTruncatedReplyIsAskedForOverTCP() throws {
        try inNamespace {
            let server = try FakeServer()
            try server.listen()
            let lab = try UpstreamLab(server)
            lab.ask(dnssecOK: true)
            let query = try server.expect()
            server.send(query.reply(flags: 0x8380), to: query)
            lab.run()
            let connection = try #require(server.accept().first)
            let over = try #require(server.receive(over: connection).first)
            #expect(over.name == query.name)
            #expect(over.hasEDNS && over.bytes[over.questionEnd + 7] == 0x80, "asked with the same OPT record")
            let large = over.reply(answers: 1, [UInt8](repeating: 7, count: 40000))
            server.sendStream(large, to: over)
            try lab.runUntilDone()
            #expect(lab.done.last?.reply == large)
            #expect(lab.done.last?.completion.isStream == true)
            #expect(lab.exchange.counters.tcp == 1)
        }
    }

    @Test func aConnectionIsPipelinedReusedAndClosedWhenIdle() throws {
        try inNamespace {
            let server = try FakeServer()
            try server.listen()
            let lab = try UpstreamLab(server)
            for index in 0..<10 {
                lab.ask("n\(index).example")
                let query = try server.expect()
                server.send(query.reply(flags: 0x8380), to: query)
            }
            lab.run()
            let connections = server.accept()
            #expect(connections.count == 1)
            let queries = server.receive(over: connections[0])
            #expect(queries.count == 10)
            // Out of order, two in one segment, one in many.
            for query in queries.reversed().dropLast() { server.sendStream(query.address(), to: query) }
            lab.run()
            #expect(lab.done.count == 9)
            let last = queries[0].address()
            for byte in [0, UInt8(last.count)] + last {
                var byte = byte
                #expect(send(connections[0], &byte, 1, 0) == 1)
                lab.run()
            }
            #expect(lab.done.count == 10)
            #expect(lab.exchange.counters.tcp == 10)

            lab.ask("again.example")
            let query = try server.expect()
            server.send(query.reply(flags: 0x8380), to: query)
            lab.run()
            #expect(server.accept().isEmpty)
            let again = try #require(server.receive(over: connections[0]).first)
            server.sendStream(again.address(), to: again)
            lab.run()
            #expect(lab.done.count == 11)
            #expect(lab.pass() == 5000)
            var byte: UInt8 = 0
            #expect(recv(connections[0], &byte, 1, 0) == 0, "closed after five idle seconds")
            #expect(lab.exchange.nextDeadline() == nil)
        }
    }

    @Test func aConnectionTheServerHasClosedIsMadeAnew() throws {
        try inNamespace {
            let server = try FakeServer()
            try server.listen()
            let lab = try UpstreamLab(server)
            lab.ask("a.example")
            var query = try server.expect()
            server.send(query.reply(flags: 0x8380), to: query)
            lab.run()
            let first = try #require(server.accept().first)
            var over = try #require(server.receive(over: first).first)
            server.sendStream(over.address(), to: over)
            lab.run()
            #expect(lab.done.count == 1)

            // The next query is under way while the server closes.
            lab.ask("b.example")
            query = try server.expect()
            server.send(query.reply(flags: 0x8380), to: query)
            lab.run()
            server.hangUp(first)
            lab.run()
            let second = try #require(server.accept().first, "asked again over a new connection")
            over = try #require(server.receive(over: second).first)
            server.sendStream(over.address(), to: over)
            lab.run()
            #expect(lab.done.count == 2)
            #expect(lab.isAnswered)

            // A new connection that is closed without a reply is an answer of its own kind.
            server.hangUp(second)
            lab.run()
            lab.ask("c.example")
            query = try server.expect()
            server.send(query.reply(flags: 0x8380), to: query)
            lab.run()
            server.hangUp(try #require(server.accept().first))
            lab.run()
            #expect(lab.outcome == .failed(.refused))
        }
    }

    @Test func silenceOverTCPLeadsToTheNextServer() throws {
        try inNamespace {
            let (first, second) = (try FakeServer("127.0.0.2"), try FakeServer("127.0.0.3"))
            try first.listen()
            let lab = try UpstreamLab(first, second)
            lab.ask()
            let query = try first.expect()
            first.send(query.reply(flags: 0x8380), to: query)
            lab.run()
            #expect(first.accept().count == 1)
            #expect(lab.pass() == 1500)
            let other = try second.expect()
            second.send(other.address(), to: other)
            lab.run()
            #expect(lab.isAnswered)
            #expect(lab.done.last?.completion.isStream == false)
        }
    }
}
