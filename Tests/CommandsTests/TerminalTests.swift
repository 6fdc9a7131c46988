import Testing

@testable import Commands

@Suite struct TableTests {
    func table() -> Table {
        var table = Table([.init("NAME", elastic: true, minimum: 6), .init("COUNT", .right), .init("NOTE")])
        table.append(["short.example", "7", Table.Cell("x", .red)])
        table.append(["a-very-long-name.example", "1,234"])
        return table
    }

    @Test func alignsColumns() {
        #expect(
            table().rendered(width: nil, style: .plain) == """
                NAME                      COUNT  NOTE
                short.example                 7  x
                a-very-long-name.example  1,234

                """)
    }

    @Test(arguments: [20, 24, 30, 37, 80])
    func fitsTheTerminal(_ width: Int) {
        let lines = table().rendered(width: width, style: .plain).split(separator: "\n").map(String.init)
        #expect(lines.count == 3)
        for line in lines { #expect(line.columns <= max(width, 19), "\(line)") }
        if width == 24 { #expect(lines[2] == "a-very-lon…  1,234") }
    }

    @Test func coloursOnlyWhatIsShown() {
        let text = table().rendered(width: nil, style: Style(enabled: true), header: false)
        #expect(text.hasPrefix("short.example                 7  \u{1b}[31mx\u{1b}[0m\n"))
        #expect(!table().rendered(width: nil, style: .plain).contains("\u{1b}"))
    }

    @Test func foreignTextCannotDriveTheTerminal() {
        var table = Table([.init("A")])
        table.append([Table.Cell("\u{1b}[2J\u{9b}x\n")])
        #expect(table.rendered(width: nil, style: .plain, header: false) == "\\x1b[2J\\x9bx\\x0a\n")
    }

    @Test func knowsWideCharacters() {
        #expect("日本".columns == 4)
        #expect("e\u{301}".columns == 1)
        #expect("日本語".clipped(to: 5) == "日本…")
        #expect("abc".clipped(to: 3) == "abc" && "abcd".clipped(to: 3) == "ab…" && "abcd".clipped(to: 0) == "")
    }
}

@Suite struct QuantityTests {
    @Test func writesNumbersForPeople() {
        #expect([0, 999, 1000, -1_234_567].map { Quantity.count($0) } == ["0", "999", "1,000", "-1,234,567"])
        #expect(
            [0, 1023, 1024, 1 << 20, 15 << 20, 3 << 40].map { Quantity.bytes($0) } == [
                "0 B", "1023 B", "1.0 KiB", "1.0 MiB", "15 MiB", "3.0 TiB",
            ])
        #expect([85, 1200, 3_400_000].map { Quantity.latency($0) } == ["85 µs", "1.2 ms", "3.40 s"])
        #expect(Quantity.percent(0.1234) == "12.3 %" && Quantity.decimal(-0.05, 2) == "-0.05")
    }
}

@Suite struct JSONValueTests {
    @Test func composesOneLine() {
        let value = JSONValue.object([
            ("b", .string("a\"\\\n\u{1b}é")), ("a", .array([.null, .bool(true), .integer(-1), .number(.nan)])),
            ("n", .optional(String?.none)), ("i", .optional(Int?.some(3))),
        ])
        #expect(value.description == #"{"b":"a\"\\\n\u001bé","a":[null,true,-1,null],"n":null,"i":3}"#)
    }
}

@Suite struct ProgressBarTests {
    @Test(arguments: [20, 40, 80, 200])
    func fitsTheTerminal(_ width: Int) {
        for done in [0, 1, 500, 1000, 2000] as [Int64] {
            let line = ProgressBar.line(
                label: "importing ads.txt", done: done, total: 1000, unit: .items("names"), elapsed: 2, width: width,
                unicode: true, style: .plain)
            #expect(line.columns < width, "\(line)")
        }
    }

    @Test func showsShareAndRest() {
        #expect(
            ProgressBar.line(
                label: "x", done: 500, total: 1000, unit: .items("names"), elapsed: 2, width: 61, unicode: false,
                style: .plain) == "x  ##########...........  50 %  500 of 1,000 names  2 s left")
        #expect(
            ProgressBar.line(
                label: "x", done: 4096, total: nil, unit: .bytes, elapsed: 2, width: 60, unicode: false, style: .plain)
                == "x  4.0 KiB  2.0 KiB/s")
    }
}
