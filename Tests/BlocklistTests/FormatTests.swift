import GRDB
import Testing

@testable import Blocklist

/// The formats that other filters' lists are written in: what is taken of which line, as which kind, and why the rest is
/// refused or skipped.
struct FormatTests {
    /// A list read into a store of its own.
    struct Imported {
        let scratch = try! Scratch()
        let store: BlocklistStore
        let report: ImportReport

        init(_ text: String, _ options: BlocklistStore.ListOptions = .init()) throws {
            store = try BlocklistStore(state: scratch.path + "/state")
            report = try store.add(scratch.file("list.txt", Array(text.utf8)), options)
        }

        /// `line kind name options`, where the kind is of the letters + (allow), = (exact), < (below), ! (important) and
        /// ~ (pattern).
        var entries: [String] {
            get throws {
                try store.read { db in
                    try Row.fetchAll(db, sql: "SELECT id, kind, name, options FROM entry ORDER BY id").map { row in
                        let kind = EntryKind(rawValue: row["kind"])
                        let marks =
                            (kind.contains(.allow) ? "+" : "") + (kind.contains(.exact) ? "=" : "")
                            + (kind.contains(.below) ? "<" : "") + (kind.contains(.important) ? "!" : "")
                            + (kind.contains(.pattern) ? "~" : "")
                        let options: String? = row["options"]
                        #expect(kind.contains(.hasOptions) == (options != nil))
                        return "\(EntryID(raw: row["id"]).line) \(marks)\(row["name"] as String)"
                            + (options.map { " [\($0)]" } ?? "")
                    }
                }
            }
        }

        var refusals: [String] { report.refusals.map { "\($0.line): \($0.reason)" } }

        func action(_ name: String) throws -> Verdict.Action {
            try store.explain(DomainName(name), in: store.snapshot()).verdict.action
        }
    }

    @Test func dnsmasqLines() throws {
        let list = try Imported(
            """
            # dnsmasq
            no-resolv
            cache-size=1000
            address=/ads.example/0.0.0.0
            address=/pixel.example/track.example/
            address=/six.example/::  # why
            address=/hash.example/#
            local=/Local.Example/
            server=/none.example/
            server=/good.ads.example/#
            --server=/.dotted.example/
            address=/*.star.example/0.0.0.0
            server=/corp.example/192.0.2.9
            address=/printer.example/192.0.2.7
            address=/#/0.0.0.0
            address=/bad..example/0.0.0.0
            server=192.0.2.53
            ads.example
            """)
        #expect(list.report.format == .dnsmasq)
        #expect(
            try list.entries == [
                "4 ads.example", "5 pixel.example", "5 track.example", "6 six.example", "7 hash.example",
                "8 local.example", "9 none.example", "10 +good.ads.example", "11 dotted.example", "12 star.example",
            ])
        #expect(
            list.refusals == [
                "13: \(LineProblem.forwarding)", "14: \(LineProblem.realAddress)", "15: \(LineProblem.everyName)",
                "16: \(LineProblem.name(.emptyLabel))", "18: \(LineProblem.notDnsmasq)",
            ])
        #expect(list.report.skipped == 3)
        #expect(try list.action("www.ads.example") == .block)
        #expect(try list.action("good.ads.example") == .allow)
    }

    @Test func unboundLines() throws {
        let list = try Imported(
            """
            server:
              verbosity: 1
              local-zone: "ads.example" always_null
              local-zone: 'track.example.' redirect   # why
              local-data: "track.example. 3600 IN A 0.0.0.0"
              local-data: "pixel.example AAAA ::"
              local-zone: bare.example always_nxdomain
              local-zone: "good.ads.example" transparent
              local-zone: "lan.example" nodefault
              local-zone: "untyped.example"
              local-data: "printer.example A 192.0.2.7"
              local-data: "text.example TXT hello"
              local-zone: "" static
            0.0.0.0 hosts.example
            """)
        #expect(list.report.format == .unbound)
        #expect(
            try list.entries == [
                "3 ads.example", "4 track.example", "5 track.example", "6 pixel.example", "7 bare.example",
                "8 +good.ads.example",
            ])
        #expect(
            list.refusals == [
                "9: \(LineProblem.zoneType)", "10: \(LineProblem.zoneType)", "11: \(LineProblem.realAddress)",
                "12: \(LineProblem.realAddress)", "13: \(LineProblem.zoneType)", "14: \(LineProblem.notUnbound)",
            ])
        #expect(list.report.skipped == 2)
    }

    @Test func adblockLines() throws {
        let list = try Imported(
            """
            [Adblock Plus 2.0]
            ! a comment
            # another
            ||ads.example^
            ||Track.Example^$important
            @@||good.ads.example^
            |exact.example^
            |https://site.example^|
            ||*.below.example^
            plain.example
            0.0.0.0 hosts.example
            ||all.example^$document,all
            ||noend.example
            example.com##.banner
            example.com#@#.banner
            example.com$$script
            ||path.example/ads/
            ||third.example^$third-party
            /^ad[0-9]+\\.$/
            ||ad*.example^
            anywhere.example^
            ||typed.example^$dnstype=AAAA
            ||mine.example^$client=192.0.2.7
            ||rewritten.example^$dnsrewrite=192.0.2.1
            ||tagged.example^$ctag=device_tv
            ||*^
            /(?=look)/$important
            ||half.example^half
            """)
        #expect(list.report.format == .adblock)
        #expect(
            try list.entries == [
                "4 ads.example", "5 !track.example", "6 +good.ads.example", "7 =exact.example", "8 =site.example",
                "9 <below.example", "10 plain.example", "11 hosts.example", "12 all.example", "13 noend.example",
                #"19 ~^ad[0-9]+\.$"#, #"20 ~(^|\.)ad.*\.example$"#, #"21 ~anywhere\.example$"#,
                "22 typed.example [dnstype=AAAA]", "24 rewritten.example [rewrite=A 192.0.2.1]",
            ])
        #expect(list.report.skipped == 5)
        #expect(
            list.refusals == [
                "23: '$client' is not supported: 'webtun client' and 'webtun group' say whom a list is for",
                "25: '$ctag' is not supported: tags of clients are known to AdGuard Home only",
                "26: \(LineProblem.everyAdblockName)",
                "27: /(?=look)/, character 1: groups are ( ) or (?: ); look-around and flags are not supported",
                "28: a separator '^' within a name, which no name has",
            ])
        #expect(try list.action("below.example") == .forward)
        #expect(try list.action("www.below.example") == .block)
        #expect(try list.action("exact.example") == .block)
        #expect(try list.action("www.exact.example") == .forward)
    }

    /// Entries of one name and several kinds: the best for the name itself and the best for what is below are kept.
    @Test(arguments: [
        ("||a.example^\n@@|a.example^", "allow", "block"), ("|a.example^\n||*.a.example^", "block", "block"),
        ("||a.example^\n@@||*.a.example^", "block", "allow"),
        ("@@||a.example^\n||a.example^$important", "block", "block"),
        ("@@||a.example^$important\n||a.example^$important", "allow", "allow"),
        ("@@|a.example^\n||a.example^\n@@||*.a.example^", "allow", "allow"),
        ("|a.example^$important\n@@||a.example^", "block", "allow"),
    ])
    func kindsOfOneName(_ text: String, _ itself: String, _ below: String) throws {
        for lines in [text, text.split(separator: "\n").reversed().joined(separator: "\n")] {
            let list = try Imported(lines)
            #expect("\(try list.action("a.example"))" == itself, "\(lines)")
            #expect("\(try list.action("www.a.example"))" == below, "\(lines)")
        }
    }

    /// Important entries come before those of allow lists, and an important exception before both.
    @Test func importantOverAllowLists() throws {
        let list = try Imported("||a.example^$important\n||b.example^\n@@||ok.a.example^$important")
        _ = try list.store.add(
            list.scratch.file("allow.txt", Array("a.example\nb.example\n".utf8)), .init(format: .domains, allow: true))
        try list.store.compile()
        #expect(try list.action("www.a.example") == .block)
        #expect(try list.action("www.b.example") == .allow)
        #expect(try list.action("ok.a.example") == .allow)
    }

    /// The same names written in every format decide the same, and `why` quotes the line as it is written.
    @Test func formatsDecideTheSame() throws {
        let names = (0..<3_000).map { "n\($0 % 977).host-\($0).example" }
        let formats: [(ListFormat, (String) -> String)] = [
            (.domains, { $0 }), (.domains, { "*.\($0)" }), (.hosts, { "0.0.0.0 \($0)" }), (.adblock, { "||\($0)^" }),
            (.dnsmasq, { "server=/\($0)/" }), (.dnsmasq, { "address=/\($0)/0.0.0.0" }),
            (.unbound, { "local-zone: \"\($0)\" always_null" }), (.rpz, { "\($0) CNAME .\n*.\($0) CNAME ." }),
        ]
        for (format, line) in formats {
            let list = try Imported(names.map(line).joined(separator: "\n"))
            #expect(list.report.format == format)
            // A zone says apart what is for the name and what for the names below it.
            let lines = format == .rpz ? 2 : 1
            #expect(list.report.entries == names.count * lines && list.report.refused == 0)
            let policy = try list.store.snapshot()
            for (index, name) in names.enumerated() where index % 37 == 0 {
                for (place, asked) in [name, "www.\(name)"].enumerated() {
                    let why = try list.store.explain(DomainName(asked), in: policy)
                    let written = min(place, lines - 1)
                    #expect(why.verdict.action == .block && why.line == index * lines + written + 1)
                    #expect(why.rule == line(name).split(separator: "\n").map(String.init)[written])
                }
                #expect(try list.store.explain(DomainName("x\(name)"), in: policy).verdict.action == .forward)
            }
        }
    }
}
