import CLDNS
import Testing

@testable import Blocklist

/// Policy zones: triggers, actions, and records that are no good.
struct RPZTests {
    typealias Imported = FormatTests.Imported

    static let zone = """
        $ORIGIN rpz.example.
        $TTL 1h
        @   IN SOA localhost. hostmaster.example. (
                2026112401 ; serial
                3600 600 86400
                60 )
            IN NS localhost.
        nx.example          CNAME .
        *.nx.example        CNAME .
        nodata.example      IN CNAME *.
        ok.nx.example       60 IN CNAME rpz-passthru.
        self.example        CNAME self.example.
        drop.example        CNAME rpz-drop.
        tcp.example         CNAME rpz-tcp-only.
        local.example       A 192.0.2.1
                            A 192.0.2.2
                            AAAA 2001:db8::1 ; two families
        walled.example      300 CNAME garden.example.
        text.example        TXT "a;b (c" d
        absolute.example.rpz.example. CNAME .
        UPPER.Example       CNAME .
        24.0.2.0.192.rpz-ip         CNAME .
        128.1.zz.db8.2001.rpz-ip    CNAME rpz-passthru.
        48.zz.2.db8.2001.rpz-ip     CNAME .
        32.7.113.0.203.rpz-client-ip    CNAME .
        ns.evil.example.rpz-nsdname     CNAME .
        32.53.2.0.192.rpz-nsip          CNAME .
        """

    @Test func triggersAndActions() throws {
        let list = try Imported(Self.zone)
        #expect(list.report.format == .rpz)
        #expect(
            try list.entries == [
                "8 =nx.example [answer=nxdomain]", "9 <nx.example [answer=nxdomain]",
                "10 =nodata.example [answer=nodata]",
                "11 +=ok.nx.example", "12 +=self.example", "13 =drop.example [answer=drop]",
                "14 =tcp.example [answer=truncate]", "15 =local.example [answer=3600 A 192.0.2.1]",
                "16 =local.example [answer=3600 A 192.0.2.2]", "17 =local.example [answer=3600 AAAA 2001:db8::1]",
                "18 =walled.example [answer=300 CNAME garden.example.]",
                #"19 =text.example [answer=3600 TXT "a;b (c" "d"]"#, "20 =absolute.example [answer=nxdomain]",
                "21 =upper.example [answer=nxdomain]", "22 192.0.2.0/24", "23 +2001:db8::1", "24 2001:db8:2::/48",
            ])
        #expect(list.report.skipped == 2)
        #expect(
            list.refusals == [
                "25: rpz-client-ip is not supported; 'webtun group' makes policy for clients",
                "26: rpz-nsdname is not supported: the servers of a name are not known here",
                "27: rpz-nsip is not supported: the servers of a name are not known here",
            ])
    }

    /// Without an origin the names stand for themselves; so they do in a zone whose apex only the SOA tells.
    @Test func apex() throws {
        let bare = try Imported("a.example CNAME .\n*.a.example CNAME .\nb.example CNAME rpz-drop.")
        #expect(bare.report.format == .rpz)
        #expect(try bare.entries.map { $0.prefix(12) } == ["1 =a.example", "2 <a.example", "3 =b.example"])
        let told = try Imported(
            "policy.example. 60 SOA a. b. 1 2 3 4 5\nx.test.policy.example. CNAME .\nx.example. CNAME .",
            .init(format: .rpz))
        #expect(try told.entries == ["2 =x.test [answer=nxdomain]"])
        #expect(told.refusals == ["3: outside of the zone 'policy.example.'"])
    }

    @Test(arguments: [
        ("x..example CNAME .", ""), ("x.example CNAME", ""), ("x.example BOGUS data", ""),
        ("x.example A 192.0.2.999", ""),
        ("x.example CNAME rpz-bogus.", "the action 'rpz-bogus.' is not known"),
        ("x.example CNAME *.garden.example.", "a CNAME to a wildcard"),
        ("$INCLUDE /etc/passwd", "'$INCLUDE' is not supported"),
        ("$GENERATE 1-9 x$ A 192.0.2.1", "'$GENERATE' is not supported"),
        ("x.example A 192.0.2.1 )", "a ')' without its '('"),
        ("33.1.2.0.192.rpz-ip CNAME .", "the number behind the slash"),
        ("24.1.2.0.192.rpz-ip CNAME .", "has bits behind the prefix"),
        ("rpz-ip CNAME .", ""), ("0.0.0.0.0.rpz-ip CNAME .", "\(LineProblem.everyAddress)"),
        ("24.0.2.0.192.rpz-ip A 192.0.2.1", "flows to an address"), ("* CNAME .", "\(LineProblem.everyName)"),
        (#"a\032b.example CNAME ."#, "the character '\\' cannot be in a name"), ("x.example CH A 192.0.2.1", ""),
        ("x.example A (192.0.2.1", "a '(' that is not closed"),
    ])
    func oneBadRecord(_ line: String, _ reason: String) throws {
        let list = try Imported("$TTL 60\n@ SOA a. b. 1 2 3 4 5\ngood.example CNAME .\n\(line)\nlast.example CNAME .")
        #expect(
            try list.entries == ["3 =good.example [answer=nxdomain]", "5 =last.example [answer=nxdomain]"], "\(line)")
        #expect(list.report.refused == 1)
        let refusal = try #require(list.report.refusals.first)
        #expect(refusal.reason.hasPrefix(reason) && !refusal.reason.isEmpty, "\(line): \(refusal.reason)")
        #expect(try list.action("last.example") == .block)
    }

    @Test func openAtTheEnd() throws {
        let list = try Imported("a.example CNAME .\nb.example CNAME .\nx.example TXT ( a\n b\n c", .init(format: .rpz))
        #expect(list.report.entries == 2)
        #expect(list.refusals == ["5: a '(' that is not closed"])
    }

    /// Zones as ldns writes them, records in random shapes, give the entries that the records are.
    @Test func readsWhatLDNSWrites() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = Seeded(state: seed)
        var lines = ["@ 60 IN SOA a. b. 1 2 3 4 5"]
        var expected: [String] = []
        for index in 0..<400 {
            let name = "n\(index)-\(random.next() % 1000).example"
            let (data, options) =
                [
                    ("CNAME .", "nxdomain"), ("CNAME *.", "nodata"), ("CNAME rpz-drop.", "drop"),
                    ("A 192.0.2.\(random.next() % 256)", ""), ("AAAA 2001:db8::\(random.next() % 9 + 1)", ""),
                    ("MX \(random.next() % 65536) m.example.", ""), ("TXT \"\(random.next())\"", ""),
                ][Int(random.next() % 7)]
            let space = data.firstIndex(of: " ")!
            let spaced = data[..<space] + (random.next() % 3 == 0 ? " ( " : "\t  ") + data[data.index(after: space)...]
            lines.append(
                "\(name) \(random.next() % 2 == 0 ? "IN " : "")\(spaced)\(spaced.contains("(") ? " )" : "") ; c")
            expected.append("\(index + 2) =\(name) [answer=\(options.isEmpty ? "3600 " + data : options)]")
        }
        let list = try Imported(lines.joined(separator: "\n"), .init(format: .rpz))
        #expect(list.refusals == [])
        #expect(try list.entries == expected)
    }
}
