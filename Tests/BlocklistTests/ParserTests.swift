import Testing

@testable import Blocklist

/// Lists byte by byte: what is taken of which line, and why the rest is refused.
struct ParserTests {
    /// Imports a file and gives back `line name` of all entries and `line: reason` of all refusals.
    func read(_ bytes: [UInt8], _ format: ListFormat?) throws -> (
        entries: [String], refusals: [String], report: ImportReport
    ) {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let report = try store.add(scratch.file("list.txt", bytes), .init(format: format))
        let entries = try store.entries(of: report.list, limit: 10_000).map { "\($0.line) \($0.name)" }
        #expect(entries.count == report.entries)
        #expect(try store.refusals(of: report.list) == report.refusals)
        return (entries, report.refusals.map { "\($0.line): \($0.reason)" }, report)
    }

    @Test func hostsLines() throws {
        let text = """
            # A hosts file
            127.0.0.1 localhost
            ::1 localhost ip6-localhost ip6-loopback
            0.0.0.0 0.0.0.0
            0.0.0.0 ads.example
            0.0.0.0\ttracker.example\tpixel.example  # two names
            127.0.0.1   UPPER.Example.
            :: six.example
            0:0:0:0:0:0:0:1 seven.example
              0.0.0.0   indented.example

            192.0.2.7 printer.example
            2001:db8::1 nas.example
            0.0.0.0
            ads.example
            0.0.0.0 bad..example good.example
            0.0.0.0 192.0.2.1
            0.0.0.0 under_score.example
            0.0.0.0 bücher.example
            0.0.0.0 https://example/
            """
        let (entries, refusals, report) = try read(Array(text.utf8), nil)
        #expect(report.format == .hosts)
        #expect(
            entries == [
                "5 ads.example", "6 tracker.example", "6 pixel.example", "7 upper.example", "8 six.example",
                "9 seven.example", "10 indented.example", "16 good.example", "18 under_score.example",
                "19 xn--bcher-kva.example",
            ])
        #expect(
            refusals == [
                "12: \(LineProblem.realAddress)", "13: \(LineProblem.realAddress)", "14: \(LineProblem.noName)",
                "15: \(LineProblem.noAddress)", "16: \(NameProblem.emptyLabel)", "17: \(NameProblem.address)",
                "20: \(NameProblem.url)",
            ])
        #expect(report.skipped == 5)
        #expect(report.lines == 20)
    }

    @Test func domainsLines() throws {
        let label = String(repeating: "a", count: 63)
        let longest = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")
        let text = """
            ! a comment
            ; another
            // and another
            ads.example
              Tracker.EXAMPLE.   # why
            two words.example
            \(label).example
            \(label)a.example
            \(longest)
            b.\(longest)
            .example
            example..
            пример.рф
            faß.example
            a*b.example
            192.0.2.1
            com
            """
        let (entries, refusals, report) = try read(Array(text.utf8), .domains)
        #expect(
            entries == [
                "4 ads.example", "5 tracker.example", "7 \(label).example", "9 \(longest)",
                "13 xn--e1afmkfd.xn--p1ai", "14 xn--fa-hia.example", "17 com",
            ])
        #expect(
            refusals == [
                "6: \(LineProblem.severalNames)", "8: \(NameProblem.labelTooLong)", "10: \(NameProblem.tooLong)",
                "11: \(NameProblem.emptyLabel)", "12: \(NameProblem.emptyLabel)",
                "15: \(NameProblem.badCharacter(UInt8(ascii: "*")))", "16: \(NameProblem.address)",
            ])
        #expect(report.refused == refusals.count)
    }

    @Test func lineEndsAndByteOrderMark() throws {
        let bytes = [0xEF, 0xBB, 0xBF] + Array("a.example\r\n\r\nb.example\r\n# c\r\nd.example".utf8)
        let (entries, refusals, report) = try read(bytes, nil)
        #expect(entries == ["1 a.example", "3 b.example", "5 d.example"])
        #expect(refusals == [])
        #expect(report.lines == 5)
    }

    @Test func bytesThatAreNoText() throws {
        var bytes = Array("a.example\nb".utf8) + [0] + Array("c.example\n".utf8)
        bytes += [0x62, 0xFC] + Array("cher.example\n".utf8)  // Latin-1
        bytes += Array("d".utf8) + [0x7F] + Array(".example\n".utf8)
        bytes += [UInt8](repeating: 0x78, count: LineReader.longest + 5) + Array("\ne.example\n".utf8)
        let (entries, refusals, _) = try read(bytes, .domains)
        #expect(entries == ["1 a.example", "6 e.example"])
        #expect(
            refusals == [
                "2: \(LineProblem.nul)", "3: \(NameProblem.notUTF8)", "4: \(NameProblem.badCharacter(0x7F))",
                "5: \(LineProblem.tooLong)",
            ])
    }

    /// A line longer than the read buffer does not disturb the count of lines.
    @Test func lineLongerThanTheBuffer() throws {
        let bytes =
            Array("a.example\n".utf8) + [UInt8](repeating: 0x78, count: 5 << 19) + Array("\nb.example".utf8)
        let (entries, refusals, _) = try read(bytes, .domains)
        #expect(entries == ["1 a.example", "3 b.example"])
        #expect(refusals == ["2: \(LineProblem.tooLong)"])
    }

    /// The same names, in either format, over several buffers full of lines.
    @Test func formatsAgree() throws {
        let names = (0..<9_000).map { "name-\($0).\(String(repeating: "x", count: $0 % 60 + 1)).example" }
        let domains = try read(Array(names.joined(separator: "\n").utf8), nil)
        let hosts = try read(Array(names.map { "0.0.0.0 \($0)\n" }.joined().utf8), nil)
        #expect(domains.report.format == .domains && hosts.report.format == .hosts)
        #expect(domains.entries == hosts.entries)
        #expect(domains.entries.count == names.count)
    }

    @Test(arguments: [
        ("", "the file is empty"), ("# nothing\n\n", "holds nothing"),
        ("\n <!DOCTYPE html>\n<html>", "line 2: a web page or XML, not a list"),
        ("$TTL 60\n@ SOA ns. admin. 1 2 3 4 5\n", "looks like a zone file without a policy"),
        ("\u{1}\u{2}\n", "no line can be taken (1 refused); line 1: the byte 0x01 cannot be in a name"),
    ])
    func filesThatAreNoLists(_ text: String, _ reason: String) throws {
        try refused(Array(text.utf8), reason)
    }

    @Test func filesThatAreNoText() throws {
        try refused([0xFF, 0xFE, 0x61, 0x00], "UTF-16 text")
        try refused([0x1F, 0x8B, 0x08, 0x00], "compressed; unpack it first")
    }

    func refused(_ bytes: [UInt8], _ reason: String) throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let file = try scratch.file("list.txt", bytes)
        do {
            _ = try store.add(file)
            Issue.record("taken: \(bytes)")
        } catch BlocklistError.listRefused(let path, let why) {
            #expect(path == file)
            #expect(why.hasPrefix(reason), "\(why)")
        }
        #expect(try store.lists().isEmpty)
    }

    @Test func pathsThatAreNoFiles() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        #expect(throws: BlocklistError.listRefused(scratch.path + "/none", "No such file or directory")) {
            try store.add(scratch.path + "/none")
        }
        #expect(throws: BlocklistError.listRefused(scratch.path, "a directory, not a list")) {
            try store.add(scratch.path)
        }
        #expect(throws: BlocklistError.self) { try store.add("https://lists.example/ads.txt") }
        #expect(try store.lists().isEmpty)
    }
}
