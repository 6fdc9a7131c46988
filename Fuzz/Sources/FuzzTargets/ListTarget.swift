import Wire

@testable import Blocklist

/// A byte that chooses the format, then a list.
enum ListTarget {
    static func run(_ input: [UInt8]) {
        guard let first = input.first else { return }
        let list = Array(input.dropFirst())
        _ = try? FormatDetector.check(list.span, path: "fuzz")
        _ = try? FormatDetector.detect(list.span, path: "fuzz")
        switch ListFormat.allCases[Int(first) % ListFormat.allCases.count] {
        case .hosts: read(list, HostsParser())
        case .domains: read(list, DomainsParser())
        case .ip: read(list, AddressParser())
        case .adblock: read(list, AdblockParser())
        case .dnsmasq: read(list, DnsmasqParser())
        case .unbound: read(list, UnboundParser())
        case .rpz: read(list, RPZParser())
        }
    }

    private static func read(_ list: [UInt8], _ parser: some LineParser) {
        var parser = parser
        var sink = Sink()
        for line in list.split(separator: 0x0a) where line.count <= LineReader.longest {
            parser.parse(Array(line).span, into: &sink)
        }
        parser.finish(into: &sink)
    }

    /// Checks each name against the wire form's rules.
    private struct Sink: LineSink {
        let takesRecords = true
        /// Patterns are tried while few, so that an input takes no long time.
        private var patterns = 0

        mutating func entry(_ name: borrowing NameText, _ kind: EntryKind, _ options: String?) {
            let text = name.string
            var again = NameText()
            promise(again.parse(Array(text.utf8).span) == nil && again.string == text, "\(text) read again")
            guard let wire = Name(text) else { fatalError("no name: \(text)") }
            promise(wire.description == text, "\(wire) is not \(text)")
            check(options)
        }

        private func check(_ options: String?) {
            guard let options else { return }
            promise(EntryOptions(text: options)?.text == options, "\(options) read again")
        }

        mutating func pattern(_ text: String, _ kind: EntryKind, _ options: String?) {
            check(options)
            patterns += 1
            guard patterns < 8, let pattern = try? Pattern(text, stateLimit: 200) else { return }
            for name in ["ads.example", "a", "www.track.example", "x--1_2.tracker.example"]
            where pattern.matches(name.utf8) {
                let bytes = Array(name.utf8)
                promise(
                    pattern.literals.isEmpty || pattern.literals.contains { !bytes.ranges(of: $0).isEmpty },
                    "\(text) matches \(name) without its literals")
            }
        }

        mutating func address(_ prefix: IPPrefix, _ kind: EntryKind) {
            let text = prefix.description
            promise((try? IPPrefix(text)) == prefix, "\(text) read again")
        }

        mutating func skip() {}

        mutating func refuse(_ problem: LineProblem) {
            promise(!"\(problem)".isEmpty, "a reason")
        }
    }

    static var seeds: [[UInt8]] {
        let lists = [
            "0.0.0.0 ads.example tracker.example # comment\n::1 localhost\n127.0.0.1\tx.example\r\n192.0.2.1 real.example",
            "ads.example\n*.wild.example\nBÜCHER.example.\nxn--bcher-kva.example\n! comment\n// c\na b\n-.x\n\u{130}.example",
            "192.0.2.7\n2001:db8::/32 # c\n198.51.100.0/24 ; c\n203.0.113.010\n0.0.0.0/0\n192.0.2.1/24\n::ffff:192.0.2.1",
            "||x.example^\n@@||y.example^$important\n|https://z.example/path\n/regex/\n! comment\n##.ad\n0.0.0.0 h.example",
            "address=/x.example/0.0.0.0\nserver=/y.example/\nlocal=/z.example/\naddress=/a/b/#\n# comment",
            "$TTL 1h\n@ SOA a. b. (1 2 3\n4 5)\nx.example CNAME .\n*.x.example CNAME *.\n24.0.2.0.192.rpz-ip CNAME rpz-drop.\n"
                + "$ORIGIN y.\nz A 192.0.2.1\n 60 TXT \"a;b\" ; c\n128.1.zz.db8.2001.rpz-ip CNAME .\nq CNAME rpz-tcp-only.",
            "||a.example^$dnstype=A|~AAAA,denyallow=b.example|c.example\n||b.example^$dnsrewrite=NOERROR;MX;10 m.example\n"
                + "@@||c.example^$dnsrewrite\n||*^$dnstype=HTTPS\n||d*.example^$badfilter\n*track*\n/^ad[0-9]+(x|yz)\\./$important\n"
                + "||e.example^$dnsrewrite=NOERROR;HTTPS;1 . alpn=h3",
            "local-zone: \"x.example\" always_null\nlocal-data: \"y.example A 0.0.0.0\"\nserver:\n$TTL 1\n<html>",
        ]
        return ListFormat.allCases.indices.flatMap { format in lists.map { [UInt8(format)] + Array($0.utf8) } }
    }
}
