import Testing

@testable import Blocklist

/// What entries say besides a name: modifiers of adblock syntax, real data of the other formats, and the text that keeps it.
struct OptionTests {
    typealias Imported = FormatTests.Imported

    @Test(arguments: [
        ("dnstype=AAAA", "[dnstype=AAAA]"), ("dnstype=aaaa|A", "[dnstype=A|AAAA]"),
        ("dnstype=~A|~TXT", "[dnstype=~A|~TXT]"),
        ("dnstype=TYPE65|A", "[dnstype=A|HTTPS]"), ("dnstype=TYPE4711", "[dnstype=TYPE4711]"),
        ("denyallow=b.example|A.example", "[denyallow=a.example|b.example]"), ("badfilter", "[badfilter]"),
        ("dnstype=A,denyallow=x.example,badfilter", "[badfilter denyallow=x.example dnstype=A]"),
        ("dnsrewrite=192.0.2.1", "[rewrite=A 192.0.2.1]"), ("dnsrewrite=2001:db8::1", "[rewrite=AAAA 2001:db8::1]"),
        ("dnsrewrite=::1", "[rewrite=AAAA ::1]"), ("dnsrewrite=New.Example", "[rewrite=CNAME new.example.]"),
        ("dnsrewrite=NXDOMAIN", "[rewrite=nxdomain]"), ("dnsrewrite=NOERROR", "[rewrite=nodata]"),
        ("dnsrewrite=REFUSED", "[rewrite=refused]"), ("dnsrewrite=SERVFAIL;;", "[rewrite=servfail]"),
        ("dnsrewrite=NOERROR;;", "[rewrite=nodata]"), ("dnsrewrite=noerror;a;192.0.2.1", "[rewrite=A 192.0.2.1]"),
        ("dnsrewrite=NOERROR;MX;10 mail.example", "[rewrite=MX 10 mail.example.]"),
        ("dnsrewrite=NOERROR;TXT;hello \"you\"", #"[rewrite=TXT "hello \"you\""]"#),
        ("dnsrewrite=NOERROR;PTR;host.example.", "[rewrite=PTR host.example.]"),
        ("dnsrewrite=NOERROR;CNAME;host.example", "[rewrite=CNAME host.example.]"),
        ("dnsrewrite=NOERROR;SRV;10 60 8080 srv.example", "[rewrite=SRV 10 60 8080 srv.example.]"),
        ("dnsrewrite=NOERROR;HTTPS;1 . alpn=h3", #"[rewrite=HTTPS 1 . alpn=h3]"#),
        ("dnsrewrite=NOERROR;HTTPS;1 . alpn=h2\\,h3", #"[rewrite=HTTPS 1 . alpn=h2,h3]"#),
        ("dnsrewrite=NOERROR;SVCB;2 svc.example", "[rewrite=SVCB 2 svc.example.]"),
    ])
    func modifiers(_ modifiers: String, _ expected: String) throws {
        let list = try Imported("||x.example^$\(modifiers)", .init(format: .adblock))
        #expect(list.refusals == [])
        #expect(try list.entries == ["1 x.example \(expected)"])
        let text = String(expected.dropFirst().dropLast())
        #expect(EntryOptions(text: text)?.text == text)
    }

    @Test(arguments: [
        "dnstype=", "dnstype=BOGUS", "dnstype=A||AAAA", "denyallow=", "denyallow=~a.example", "denyallow=a b",
        "dnsrewrite",
        "dnsrewrite=", "dnsrewrite=BOGUS", "dnsrewrite=a..example", "dnsrewrite=NOERROR;A", "dnsrewrite=NOERROR;A;::1",
        "dnsrewrite=NOERROR;AAAA;192.0.2.1", "dnsrewrite=NOERROR;MX;mail.example",
        "dnsrewrite=NOERROR;SRV;1 2 x.example",
        "dnsrewrite=NOERROR;HTTPS;1", "dnsrewrite=NOERROR;HINFO;x", "dnsrewrite=WHAT;A;192.0.2.1",
        "dnsrewrite=NOERROR;MX;70000 m.example", "client=x", "ctag=y",
    ])
    func badModifiers(_ modifiers: String) throws {
        let list = try Imported("||x.example^$\(modifiers)\n||y.example^", .init(format: .adblock))
        #expect(try list.entries == ["2 y.example"])
        #expect(list.report.refused == 1)
        let refusal = try #require(list.report.refusals.first)
        #expect(refusal.reason.hasPrefix("'$"), "\(refusal.reason)")
    }

    @Test func exceptionsOfRewrites() throws {
        let list = try Imported(
            "@@||x.example^$dnsrewrite\n@@||y.example^$dnsrewrite=192.0.2.1", .init(format: .adblock))
        #expect(try list.entries == ["1 +x.example [rewrite]", "2 +y.example [rewrite=A 192.0.2.1]"])
    }

    @Test(arguments: [
        ("||ad*.example^", #"(^|\.)ad.*\.example$"#), ("*track*", "track"), ("|ad*", "^ad"), ("ad*|", "ad.*$"),
        ("||*track*^", #"(^|\.).*track.*$"#), ("track^", "track$"), ("|*.ads.example^", #"^.*\.ads\.example$"#),
        ("||ads.*^", #"(^|\.)ads\..*$"#), ("||AD*", #"(^|\.)ad"#), ("/Ads[0-9]/", "Ads[0-9]"), ("/a$/$important", "a$"),
        ("/^ad$|^b/", "^ad$|^b"),
    ])
    func patterns(_ rule: String, _ expected: String) throws {
        let list = try Imported(rule, .init(format: .adblock))
        #expect(list.refusals == [])
        #expect(try list.entries == ["1 \(rule.hasSuffix("important") ? "!" : "")~\(expected)"])
    }

    @Test func everyName() throws {
        let list = try Imported(
            "||*^$dnstype=HTTPS\n*$denyallow=com|net\n||*^\n*\n||ok.example^", .init(format: .adblock))
        #expect(
            try list.entries == ["1 ~^ [dnstype=HTTPS]", "2 ~^ [denyallow=com|net]", "5 ok.example"])
        #expect(list.refusals == ["3: \(LineProblem.everyAdblockName)", "4: \(LineProblem.everyAdblockName)"])
    }

    @Test func recordsOnlyWhenAsked() throws {
        let lists: [(ListFormat, String, [String])] = [
            (
                .hosts, "192.0.2.7 printer.example nas.example\n2001:db8::7 printer.example\n0.0.0.0 ads.example",
                [
                    "1 =printer.example [answer=A 192.0.2.7]", "1 =nas.example [answer=A 192.0.2.7]",
                    "2 =printer.example [answer=AAAA 2001:db8::7]", "3 ads.example",
                ]
            ),
            (
                .dnsmasq, "address=/x.example/192.0.2.1\naddress=/ads.example/0.0.0.0\nserver=/y.example/192.0.2.53",
                ["1 x.example [answer=A 192.0.2.1]", "2 ads.example"]
            ),
            (
                .unbound,
                """
                local-data: "x.example. 300 IN A 192.0.2.1"
                local-zone: "y.example" redirect
                local-data: "y.example MX 10 mail.example."
                local-data: "z.example A 192.0.2.999"
                local-data: 'text.example TXT "a b"'
                """,
                [
                    "1 =x.example [answer=300 A 192.0.2.1]", "2 y.example",
                    "3 y.example [answer=3600 MX 10 mail.example.]",
                    #"5 =text.example [answer=3600 TXT "a b"]"#,
                ]
            ),
        ]
        for (format, text, expected) in lists {
            let list = try Imported(text, .init(format: format, records: true))
            #expect(try list.entries == expected, "\(format)")
            let without = try Imported(
                text + (format == .unbound ? "\nlocal-zone: a.example static" : ""), .init(format: format))
            #expect(try without.entries.allSatisfy { !$0.contains("[") })
            #expect(without.refusals.contains { $0.hasSuffix("\(LineProblem.realAddress)") })
        }
        let forwarding = try Imported(
            "server=/y.example/192.0.2.53\nlocal=/z.example/", .init(format: .dnsmasq, records: true))
        #expect(forwarding.refusals == ["1: \(LineProblem.forwarding)"])
    }

    @Test func exactAndAllowLists() throws {
        let exact = try Imported("|a.example^\n||b.example^\n||*.c.example^", .init(format: .adblock, exact: true))
        #expect(try exact.entries == ["1 =a.example", "2 =b.example", "3 <c.example"])
        let allow = try Imported("||a.example^\n@@||b.example^", .init(format: .adblock, allow: true))
        #expect(try allow.entries == ["1 +a.example", "2 b.example"])
    }

    @Test func optionsTogether() {
        #expect(EntryOptions.merged(["answer=A 192.0.2.1", "answer=AAAA ::1"]) == "answer=A 192.0.2.1\nAAAA ::1")
        #expect(EntryOptions.merged(["rewrite=A 192.0.2.1", "rewrite=A 192.0.2.1"]) == "rewrite=A 192.0.2.1")
        #expect(EntryOptions.merged(["answer=A 192.0.2.1", "rewrite=A 192.0.2.1"]) == nil)
        #expect(EntryOptions.merged(["answer=A 192.0.2.1", "answer=nxdomain"]) == nil)
        #expect(EntryOptions.merged(["dnstype=A rewrite=A 192.0.2.1", "rewrite=A 192.0.2.2"]) == nil)
        for text in ["x", "dnstype=", "dnstype=X", "rewritten", "badfilters"] where text != "dnstype=" {
            #expect(EntryOptions(text: text) == nil, "\(text)")
        }
    }
}
