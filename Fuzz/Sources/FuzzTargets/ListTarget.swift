import Wire

@testable import Blocklist

/// A byte that chooses the format, then a list.
enum ListTarget {
    static func run(_ input: [UInt8]) {
        guard let first = input.first else { return }
        let list = Array(input.dropFirst())
        _ = try? FormatDetector.check(list.span, path: "fuzz")
        _ = try? FormatDetector.detect(list.span, path: "fuzz")
        var sink = Sink()
        var (hosts, domains, addresses) = (HostsParser(), DomainsParser(), AddressParser())
        for line in list.split(separator: 0x0a) where line.count <= LineReader.longest {
            let line = Array(line)
            addresses.parse(line.span, into: &sink)
            if first & 1 == 0 {
                hosts.parse(line.span, into: &sink)
            } else {
                domains.parse(line.span, into: &sink)
            }
        }
    }

    /// Checks each name against the wire form's rules.
    private struct Sink: LineSink {
        mutating func entry(_ name: borrowing NameText, _ options: EntryKind) {
            let text = name.string
            var again = NameText()
            promise(again.parse(Array(text.utf8).span) == nil && again.string == text, "\(text) read again")
            guard let wire = Name(text) else { fatalError("no name: \(text)") }
            promise(wire.description == text, "\(wire) is not \(text)")
        }

        mutating func address(_ prefix: IPPrefix) {
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
            "||x.example^\naddress=/x/\n$TTL 1\n<html>",
        ]
        return lists.flatMap { [[0] + Array($0.utf8), [1] + Array($0.utf8)] }
    }
}
