import Foundation
import Testing

/// What an application sees: blocked answers in every mode, errors in the protocol's own words, EDNS and truncation.
@Suite(.serialized) struct AnswerTests {
    struct Mode: Sendable, CustomStringConvertible {
        let name: String
        let rcode: String
        let a: [String]
        let aaaa: [String]
        var settings = ""
        var description: String { name }
    }

    static let modes = [
        Mode(name: "null", rcode: "NOERROR", a: ["0.0.0.0"], aaaa: ["::"]),
        Mode(name: "nxdomain", rcode: "NXDOMAIN", a: [], aaaa: []),
        Mode(name: "nodata", rcode: "NOERROR", a: [], aaaa: []),
        Mode(name: "refused", rcode: "REFUSED", a: [], aaaa: []),
        Mode(
            name: "custom", rcode: "NOERROR", a: ["192.0.2.99"], aaaa: ["2001:db8::99"],
            settings: "blocking_addresses = [\"192.0.2.99\", \"2001:db8::99\"]\n"),
    ]

    @Test(arguments: modes)
    func blockedNamesAreAnsweredAsConfigured(mode: Mode) async throws {
        let configuration = "[dns]\nblocking_mode = \"\(mode.name)\"\n\(mode.settings)"
        try await World.with(configuration: configuration) { (world: World) async throws in
            for tcp in [false, true] {
                try await check(world, mode, "A", mode.a, tcp: tcp)
                try await check(world, mode, "AAAA", mode.aaaa, tcp: tcp)
                try await check(world, mode, "HTTPS", [], tcp: tcp)
                try await check(world, mode, "TXT", [], tcp: tcp)
            }
            // Extended DNS Error 15, Blocked (RFC 8914 section 4.16), with a word about what blocked it.
            let extended = try await world.ask("m.blocked.example", options: ["--edns", "1232"])
            #expect(extended.integer("ede") == 15, "\(extended)")
            #expect(extended.words["text"]?.isEmpty == false, "\(extended)")
            #expect(!world.net.capture.holds(name: "m.blocked.example"))
        }
    }

    private func check(_ world: World, _ mode: Mode, _ type: String, _ answer: [String], tcp: Bool) async throws {
        let reply = try await world.ask("m.blocked.example", type, six: type == "AAAA", tcp: tcp)
        #expect(reply.rcode == mode.rcode, "\(type): \(reply)")
        #expect(reply.answer == answer, "\(type): \(reply)")
        #expect(reply.integer("qr") == 1 && reply.integer("ra") == 1 && reply.integer("rd") == 1, "\(reply)")
        #expect(reply.integer("edns") == -1, "no OPT was asked for: \(reply)")
        if !answer.isEmpty { #expect(reply.integer("ttl") == 10, "\(reply)") }
        if answer.isEmpty && mode.rcode != "REFUSED" {
            #expect(reply.words["counts"]?.hasPrefix("1/0/1/") == true, "a negative answer has its SOA: \(reply)")
            #expect(reply.integer("negative_ttl") == 10, "\(reply)")
        }
    }

    @Test func theListIsNamedInTheExtendedError() async throws {
        try await World.with { net, webtun in
            let file = try net.lab.write("ads.listed.example\n", to: "ads.txt")
            try await webtun.must(["list", "add", file, "--name", "my-ads", "--format", "domains"])
        } _: { (world: World) async throws in
            let reply = try await world.ask("x.ads.listed.example", options: ["--edns", "1232"])
            #expect(reply.answer == ["0.0.0.0"])
            #expect(reply.integer("ede") == 15)
            #expect(reply.words["text"]?.contains("my-ads") == true, "\(reply)")
        }
    }

    @Test func whatIsNoOrdinaryQueryIsRefusedInTheProtocolsWords() async throws {
        try await World.with { (world: World) async throws in
            for tcp in [false, true] {
                #expect(try await world.ask("x.allowed.example", "AXFR", tcp: tcp).rcode == "REFUSED")
                #expect(
                    try await world.ask("x.allowed.example", tcp: tcp, options: ["--class", "255"]).rcode == "REFUSED")
                #expect(
                    try await world.ask("x.blocked.example", tcp: tcp, options: ["--class", "255"]).rcode == "REFUSED")
                for opcode in [1, 2, 6, 9] {
                    let reply = try await world.ask("x.allowed.example", tcp: tcp, options: ["--opcode", "\(opcode)"])
                    #expect(reply.rcode == "NOTIMP", "opcode \(opcode): \(reply)")
                }
            }
            func raw(_ hex: String) async throws -> Probe.Reply {
                try await world.ask("", timeout: 500, options: ["--raw", hex])
            }
            // A header that promises a question and has none; a label that runs past the end; a compressed qname.
            #expect(try await raw("abcd01000001000000000000").rcode == "FORMERR")
            #expect(try await raw("abcd01000001000000000000" + "3f61").rcode == "FORMERR")
            #expect(try await raw("abcd01000001000000000000" + "c00c00010001").rcode == "FORMERR")
            // Two questions, none.
            #expect(
                try await raw("abcd01000002000000000000" + "016100" + "00010001" + "016200" + "00010001").rcode
                    == "FORMERR")
            #expect(try await raw("abcd01000000000000000000").rcode == "FORMERR")
            // A response and a scrap are nobody's query: no answer, and nothing of it leaves.
            #expect(try await raw("abcd81800001000000000000" + "016100" + "00010001").isTimeout)
            #expect(try await raw("abcd01").isTimeout)
            // The path still works.
            #expect(try await world.ask("y.allowed.example").answer == [Internet.forwardedV4])
        }
    }

    @Test func edns() async throws {
        try await World.with { (world: World) async throws in
            for name in ["e.blocked.example", "e.allowed.example"] {
                for _ in 0..<2 {  // the second answer comes from the cache
                    let plain = try await world.ask(name)
                    #expect(plain.integer("edns") == -1, "\(plain)")
                    let sized = try await world.ask(name, options: ["--edns", "1232"])
                    #expect(sized.integer("edns") >= 512 && sized.integer("version") == 0, "\(sized)")
                    #expect(sized.integer("do") == 0, "\(sized)")
                    let secure = try await world.ask(name, options: ["--edns", "4096", "--do"])
                    #expect(secure.integer("do") == 1, "\(secure)")
                    // BADVERS with the version we speak (RFC 6891 section 6.1.3).
                    let version = try await world.ask(name, options: ["--edns", "1232", "--edns-version", "1"])
                    #expect(version.rcode == "BADVERS" && version.integer("version") == 0, "\(version)")
                    #expect(version.answer.isEmpty)
                }
            }
        }
    }

    @Test func answersOverTheSizeAreTruncatedAndWholeOverTCP() async throws {
        try await World.with { (world: World) async throws in
            for _ in 0..<2 {  // from the upstream, then from the cache
                let small = try await world.ask("big.allowed.example")
                #expect(small.isTruncated && small.integer("bytes") <= 512, "\(small)")
                let whole = try await world.ask("big.allowed.example", options: ["--edns", "1232"])
                #expect(!whole.isTruncated && whole.words["counts"]?.hasPrefix("1/60/") == true, "\(whole)")
                let huge = try await world.ask("huge.allowed.example", options: ["--edns", "1232"])
                #expect(huge.isTruncated && huge.integer("bytes") <= 1232, "\(huge)")
                for (name, count) in [("big", 60), ("huge", 200)] {
                    let tcp = try await world.ask("\(name).allowed.example", tcp: true)
                    #expect(!tcp.isTruncated && tcp.words["counts"]?.hasPrefix("1/\(count)/") == true, "\(tcp)")
                }
            }
            // dig does by itself what the TC bit asks for.
            let dig = try await world.machine.must([
                "dig", "+short", "+noedns", "@\(Internet.resolverV4)", "big.allowed.example",
            ])
            #expect(dig.lines.count == 60)
        }
    }

    @Test func namesAreCaseInsensitiveAndTheQuestionIsEchoedAsAsked() async throws {
        try await World.with { (world: World) async throws in
            let blocked = try await world.machine.must(["dig", "@\(Internet.resolverV4)", "CaSe.BlOcKeD.eXaMpLe"])
            #expect(blocked.text.contains(";CaSe.BlOcKeD.eXaMpLe."))
            #expect(blocked.text.contains("0.0.0.0"))
            for _ in 0..<2 {
                let allowed = try await world.machine.must(["dig", "@\(Internet.resolverV4)", "CaSe.AlLoWeD.eXaMpLe"])
                #expect(allowed.text.contains(";CaSe.AlLoWeD.eXaMpLe."))
                #expect(allowed.text.contains(Internet.forwardedV4))
            }
            let again = try await world.machine.must(["dig", "@\(Internet.resolverV4)", "case.allowed.example"])
            #expect(again.text.contains(";case.allowed.example."))
        }
    }

    @Test func aliasesAndOtherTypesComeThrough() async throws {
        try await World.with { (world: World) async throws in
            let reply = try await world.ask("alias.allowed.example")
            #expect(reply.answer == ["target.allowed.example", Internet.forwardedV4], "\(reply)")
            let text = try await world.ask("text.allowed.example", "TXT")
            #expect(text.answer == ["TYPE16"], "\(text)")
        }
    }
}
