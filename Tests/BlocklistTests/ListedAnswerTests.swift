import CAllocations
import Testing
import Wire

@testable import Blocklist

/// What lists with options and patterns decide: conditions, rewrites and their exceptions, what takes a rule back, the order
/// of names and patterns, records of several lines.
struct ListedAnswerTests {
    /// Lists in a store of their own, in the order of their precedence.
    struct Lists {
        let scratch = try! Scratch()
        let store: BlocklistStore
        let policy: PolicySnapshot

        init(_ texts: [String], _ format: ListFormat = .adblock, records: Bool = false) throws {
            store = try BlocklistStore(state: scratch.path + "/state")
            for (index, text) in texts.enumerated() {
                let report = try store.add(
                    scratch.file("list\(index).txt", text), .init(format: format, records: records))
                #expect(report.refused == 0, "\(report.refusals)")
            }
            policy = try store.snapshot()
        }

        /// `forward`, `allow` or what is answered: a word, or the records.
        func answer(_ name: String, _ type: String = "A") throws -> String {
            let qtype = try #require(QueryType.number(type))
            let verdict = policy.verdict(for: wire(name).span.bytes, qtype: qtype)
            guard verdict.action == .block else { return "\(verdict.action)" }
            guard verdict.answer == .records else { return "\(verdict.answer)" }
            var parts: [String] = []
            let set = policy.records(of: verdict)
            var at = 0
            while let item = RecordSet.item(of: set, at: at) {
                at = item.end
                let data = (0..<item.byteCount).map { set.u8(item.data + $0) }
                parts.append(
                    "\(item.ttl) \(QueryType.text(item.type)) \(RecordText.text(type: RecordType(item.type), data: data))"
                )
            }
            return parts.joined(separator: ", ")
        }

        /// The line and text that `why` names, with the list's number.
        func why(_ name: String, _ type: String = "A") throws -> String {
            let found = try store.explain(DomainName(name), qtype: QueryType.number(type) ?? 0, in: policy)
            return "\(found.list ?? "-"):\(found.line ?? 0): \(found.rule ?? "-")"
        }
    }

    @Test func typesOfQueries() throws {
        let lists = try Lists([
            "||six.example^$dnstype=AAAA\n||not.example^$dnstype=~A|~TXT\n||*^$dnstype=HTTPS\n@@||ok.example^"
        ])
        #expect(try lists.answer("www.six.example", "AAAA") == "configured")
        #expect(try lists.answer("www.six.example", "A") == "forward")
        #expect(try lists.answer("not.example", "A") == "forward")
        #expect(try lists.answer("not.example", "TXT") == "forward")
        #expect(try lists.answer("not.example", "MX") == "configured")
        #expect(try lists.answer("any.test", "HTTPS") == "configured")
        #expect(try lists.answer("ok.example", "HTTPS") == "allow")
        #expect(try lists.answer("any.test", "A") == "forward")
        // A flow has no type: what is said of some types says nothing of it.
        #expect(lists.policy.verdict("www.six.example").action == .forward)
        #expect(lists.policy.verdict("not.example").action == .forward)
        #expect(try lists.why("any.test", "HTTPS") == "list0:3: ||*^$dnstype=HTTPS")
    }

    @Test func namesThatAreLetThrough() throws {
        let lists = try Lists(["||shop.example^$denyallow=good.shop.example|fine.shop.example\n*$denyallow=com|example"]
        )
        #expect(try lists.answer("www.shop.example") == "configured")
        #expect(try lists.answer("good.shop.example") == "forward")
        #expect(try lists.answer("www.fine.shop.example") == "forward")
        #expect(try lists.answer("notgood.shop.example") == "configured")
        #expect(try lists.answer("a.com") == "forward")
        #expect(try lists.answer("com") == "forward")
        #expect(try lists.answer("a.xcom") == "configured")
        #expect(lists.policy.verdict("www.shop.example").action == .block)
    }

    @Test func rulesThatAreTakenBack() throws {
        let lists = try Lists([
            "||a.example^\n||b.example^$important\n||c.example^$dnstype=AAAA\n/track[0-9]/\n||d.example^\n||e.example^",
            """
            ||a.example^$badfilter
            ||b.example^$badfilter
            ||c.example^$badfilter,dnstype=AAAA
            /track[0-9]/$badfilter
            |d.example^$badfilter
            ||e.example^$badfilter
            ||e.example^
            """,
        ])
        for name in ["a.example", "c.example", "xtrack7.example", "e.example"] {
            #expect(try lists.answer(name, "AAAA") == "forward", "\(name)")
        }
        // Another modifier, another anchor: another rule.
        #expect(try lists.answer("b.example") == "configured")
        #expect(try lists.answer("d.example") == "configured")
        try lists.store.setEnabled(["list1"], false)
        #expect(try lists.store.snapshot().verdict("a.example").action == .block)
    }

    @Test func rewrites() throws {
        let lists = try Lists([
            """
            ||two.example^$dnsrewrite=192.0.2.1
            ||two.example^$dnsrewrite=NOERROR;A;192.0.2.2
            ||two.example^$dnsrewrite=2001:db8::1
            ||nx.example^$dnsrewrite=NXDOMAIN
            ||refused.example^$dnsrewrite=REFUSED
            ||empty.example^$dnsrewrite=NOERROR
            ||fail.example^$dnsrewrite=SERVFAIL
            ||typed.example^$dnstype=A,dnsrewrite=192.0.2.3
            ||up.example^$dnsrewrite=192.0.2.4
            |x.up.example^$dnsrewrite=192.0.2.5
            @@||allowed.example^
            ||allowed.example^$dnsrewrite=192.0.2.6
            ||important.example^$important
            ||important.example^$dnsrewrite=192.0.2.7
            /^re[0-9]+\\.example$/$dnsrewrite=192.0.2.8
            ||re1.example^$dnsrewrite=192.0.2.9
            """,
            """
            ||off.example^$dnsrewrite=192.0.2.10
            @@||off.example^$dnsrewrite
            ||off.example^
            ||some.example^$dnsrewrite=192.0.2.11
            ||a.some.example^$dnsrewrite=192.0.2.12
            @@||some.example^$dnsrewrite=192.0.2.12
            @@||re7.example^$dnsrewrite
            """,
        ])
        #expect(try lists.answer("www.two.example") == "300 A 192.0.2.1, 300 A 192.0.2.2, 300 AAAA 2001:db8::1")
        #expect(try lists.answer("nx.example") == "nxdomain")
        #expect(try lists.answer("refused.example") == "refused")
        #expect(try lists.answer("empty.example") == "nodata")
        #expect(try lists.answer("fail.example") == "servfail")
        #expect(try lists.answer("typed.example") == "300 A 192.0.2.3")
        #expect(try lists.answer("typed.example", "AAAA") == "forward")
        #expect(try lists.answer("www.up.example") == "300 A 192.0.2.4")
        #expect(try lists.answer("x.up.example") == "300 A 192.0.2.5")
        #expect(try lists.answer("y.x.up.example") == "300 A 192.0.2.4")
        #expect(try lists.answer("allowed.example") == "300 A 192.0.2.6")
        #expect(try lists.answer("important.example") == "300 A 192.0.2.7")
        #expect(try lists.answer("re2.example") == "300 A 192.0.2.8")
        #expect(try lists.answer("re1.example") == "300 A 192.0.2.9")
        // Exceptions take back rewrites, and nothing else.
        #expect(try lists.answer("off.example") == "configured")
        #expect(try lists.answer("some.example") == "300 A 192.0.2.11")
        #expect(try lists.answer("a.some.example") == "300 A 192.0.2.11")
        #expect(try lists.answer("re7.example") == "forward")
        // A rewrite gives an answer; it does not forbid flows to the name.
        #expect(lists.policy.verdict("two.example").action == .forward)
        #expect(lists.policy.verdict("nx.example").action == .block)
        #expect(try lists.why("two.example") == "list0:1: ||two.example^$dnsrewrite=192.0.2.1")
        #expect(try lists.why("re2.example") == "list0:15: /^re[0-9]+\\.example$/$dnsrewrite=192.0.2.8")
    }

    /// Within each tier names come before patterns, and a better tier's patterns before a worse tier's names.
    @Test(arguments: [
        ("||x1.example^\n@@/x[0-9]/", "allow", "@@/x[0-9]/"), ("@@||x1.example^\n/x[0-9]/", "allow", "@@||x1.example^"),
        ("/x[0-9]/\n||x1.example^", "configured", "||x1.example^"),
        ("@@||x1.example^\n/x[0-9]/$important", "configured", "/x[0-9]/$important"),
        ("@@/x[0-9]/$important\n||x1.example^$important", "allow", "@@/x[0-9]/$important"),
        ("/zz/\n/x[0-9]/\n/x1/", "configured", "/x[0-9]/"), ("*x1*\n/x1/", "configured", "*x1*"),
        ("||x*.example^", "configured", "||x*.example^"), ("|x1*", "configured", "|x1*"),
        ("1.example^", "configured", "1.example^"),
    ])
    func order(_ text: String, _ answer: String, _ rule: String) throws {
        let lists = try Lists([text])
        #expect(try lists.answer("x1.example") == answer)
        let why = try lists.why("x1.example")
        #expect(why.hasSuffix(": \(rule)"), "\(why)")
    }

    @Test func recordsOfLists() throws {
        let hosts = try Lists(
            ["192.0.2.7 printer.example\n192.0.2.8 printer.example\n2001:db8::7 printer.example\n0.0.0.0 ads.example"],
            .hosts,
            records: true)
        #expect(try hosts.answer("printer.example") == "300 A 192.0.2.7, 300 A 192.0.2.8, 300 AAAA 2001:db8::7")
        #expect(try hosts.answer("www.printer.example") == "forward")
        #expect(try hosts.answer("ads.example") == "configured")
        #expect(try hosts.why("printer.example") == "list0:1: 192.0.2.7 printer.example")
        let unbound = try Lists(
            [
                "local-zone: \"x.example\" redirect\nlocal-data: \"x.example 60 A 192.0.2.1\"\nlocal-data: \"x.example 60 TXT hi\""
            ],
            .unbound, records: true)
        #expect(try unbound.answer("www.x.example") == "60 A 192.0.2.1, 60 TXT \"hi\"")
        let dnsmasq = try Lists(["address=/x.example/192.0.2.1\nserver=/ok.x.example/#"], .dnsmasq, records: true)
        #expect(try dnsmasq.answer("www.x.example") == "300 A 192.0.2.1")
        #expect(try dnsmasq.answer("ok.x.example") == "allow")
        // The list that comes first answers alone.
        let both = try Lists(
            ["192.0.2.1 x.example", "192.0.2.2 x.example\n192.0.2.3 y.example"], .hosts, records: true)
        #expect(try both.answer("x.example") == "300 A 192.0.2.1")
        #expect(try both.answer("y.example") == "300 A 192.0.2.3")
    }

    @Test func policyZone() throws {
        let lists = try Lists(
            [
                RPZTests.zone.split(separator: "\n").filter {
                    !$0.contains("-nsdname") && !$0.contains("-nsip") && !$0.contains("client-ip")
                }.joined(separator: "\n")
            ], .rpz)
        let expected = [
            "nx.example": "nxdomain", "www.nx.example": "nxdomain", "ok.nx.example": "allow",
            "x.ok.nx.example": "nxdomain",
            "nodata.example": "nodata", "www.nodata.example": "forward", "self.example": "allow",
            "drop.example": "drop",
            "tcp.example": "truncate", "local.example": "3600 A 192.0.2.1, 3600 A 192.0.2.2, 3600 AAAA 2001:db8::1",
            "walled.example": "300 CNAME garden.example.",
        ]
        for (name, answer) in expected { #expect(try lists.answer(name) == answer, "\(name)") }
        let flow = { (text: String) throws in
            lists.policy.flowVerdict(
                remote: try #require(IPAddress(text)), port: 443, proto: 6, name: RawSpan(), asker: .everybody,
                isNameFinal: true
            ).action
        }
        #expect(try flow("192.0.2.200") == .drop)
        #expect(try flow("2001:db8:2::9") == .drop)
        #expect(try flow("2001:db8::1") == .allow)
    }

    @Test func nothingIsAllocated() throws {
        var text = (0..<300).map { "||o\($0).example^$dnstype=A|AAAA,denyallow=a.o\($0).example\n/track\($0)[a-z]+/" }
            .joined(separator: "\n")
        text +=
            "\n||r.example^$dnsrewrite=192.0.2.1\n@@||x.r.example^$dnsrewrite\n/^re[0-9]/$dnsrewrite=NXDOMAIN\n@@*re7*$dnsrewrite"
        let lists = try Lists([text])
        let names = [
            "www.o7.example", "a.o7.example", "r.example", "y.x.r.example", "re1.example", "re7.example",
            "track12zz.test",
        ].map(wire)
        var allocations: UInt = 0
        var blocked = 0
        for round in 0..<50 {
            for name in names {
                let span = name.span.bytes
                let before = allocations_of_this_thread()
                let verdict = lists.policy.verdict(for: span, qtype: 1)
                let after = allocations_of_this_thread()
                if round > 0 { allocations += after - before }
                if verdict.action == .block { blocked += 1 }
            }
        }
        #expect(allocations == 0)
        #expect(blocked == 4 * 50)
    }
}
