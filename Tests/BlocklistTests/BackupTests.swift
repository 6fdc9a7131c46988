import Foundation
import GRDB
import Testing

@testable import Blocklist

/// Exports, and what becomes of them when they are read.
@Suite struct BackupTests {
    /// A store with something in every table.
    static func filled(_ scratch: Scratch) throws -> BlocklistStore {
        let store = try BlocklistStore(state: scratch.path + "/full")
        _ = try store.add(
            scratch.file("ads.txt", "0.0.0.0 ads.example\n0.0.0.0 a..b\n0.0.0.0 one.test two.test # two\n"))
        _ = try store.add(
            scratch.file("ok.txt", "@@||ok.example^\n||bad.example^$important\n"), .init(name: "o\"k\u{e9}"))
        _ = try store.setRules([
            .init(.deny, .regex, "^ad[0-9]+\\.", comment: "tab\tquote\" \\ \u{1F600}"),
            .init(.allow, .exact, "www.example"),
        ])
        var conditions = FlowConditions()
        conditions.ports = 25...25
        _ = try store.setFlowRules([.init(.deny, conditions, comment: "no mail")])
        try store.loadResolvers(
            scratch.file("r.bypass", "operator Test https://test.example/\nport tcp/853\n"))
        try store.setBypass(true)
        try store.compile()
        return store
    }

    /// All rows of all tables but the journal, as text.
    static func rows(_ store: BlocklistStore) throws -> [String] {
        try store.read { db in
            try ExportTable.all(db).flatMap { table in
                try Row.fetchAll(db, sql: "SELECT \(table.quoted(table.columns)) FROM \"\(table.name)\" ORDER BY 1, 2")
                    .map { "\(table.name) \($0)" }
            }
        }
    }

    static func unpacked(_ path: String) throws -> [String] {
        let reader = try PackedReader(path: path)
        var lines: [String] = []
        while try reader.next() { lines.append(String(decoding: reader.line, as: UTF8.self)) }
        return lines
    }

    static func pack(_ lines: [String], _ path: String) throws {
        let number = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        let writer = try PackedWriter(number, path: path)
        for line in lines { try writer.write(Array(line.utf8)) }
        try writer.finish()
    }

    @Test func whatIsWrittenIsReadBack() throws {
        let scratch = try Scratch()
        let store = try BackupTests.filled(scratch)
        let report = try store.export(to: scratch.path + "/file")
        #expect(report.bytes > 0 && report.sha256.count == 64)
        let other = try BlocklistStore(state: scratch.path + "/other")
        let told = try other.restore(from: report.path, .intoEmpty)
        #expect(try BackupTests.rows(other) == BackupTests.rows(store))
        #expect(told.tables.first { $0.name == "entry" } == .init(name: "entry", added: 5, kept: 0))
        try other.compile()
        let policy = try other.snapshot()
        #expect(policy.verdict("two.test").action == .block)
        #expect(policy.verdict("ok.example").action == .allow)
        #expect(policy.verdict("ad7.example").action == .block)
        // The same again gives the same bytes but for nothing.
        let again = try other.export(to: scratch.path + "/again")
        #expect(again.sha256 == report.sha256)
    }

    @Test func somethingThereIsNotOverwrittenUnasked() throws {
        let scratch = try Scratch()
        let store = try BackupTests.filled(scratch)
        let path = try store.export(to: scratch.path + "/file").path
        let other = try BlocklistStore(state: scratch.path + "/other")
        _ = try other.setRules([.init(.deny, .suffix, "mine.example")])
        let before = try BackupTests.rows(other)
        #expect {
            try other.restore(from: path, .intoEmpty)
        } throws: { error in
            "\(error)"
                == "there are 1 of 'rule' here already: --merge adds what is missing, --replace puts the file in their place"
        }
        #expect(try BackupTests.rows(other) == before)
        _ = try other.restore(from: path, .replace, dryRun: true)
        #expect(try BackupTests.rows(other) == before)
        _ = try other.restore(from: path, .replace)
        #expect(try BackupTests.rows(other) == BackupTests.rows(store))
        #expect(try other.ruleChanges(limit: 5).isEmpty)
    }

    /// Lists get numbers of their own, what is there stays, rules that came can be taken back.
    @Test func merging() throws {
        let scratch = try Scratch()
        let store = try BackupTests.filled(scratch)
        let path = try store.export(to: scratch.path + "/file").path
        let other = try BlocklistStore(state: scratch.path + "/other")
        for name in ["first", "second"] {
            _ = try other.add(scratch.file("\(name).txt", "\(name).example\n"))
        }
        _ = try other.add(scratch.file("ads.txt", "mine.example\n"))
        _ = try other.setRules([.init(.allow, .regex, "^ad[0-9]+\\.", comment: "mine")])
        let told = try other.restore(from: path, .merge)
        #expect(told.tables.first { $0.name == "list" } == .init(name: "list", added: 1, kept: 1))
        #expect(told.tables.first { $0.name == "entry" } == .init(name: "entry", added: 2, kept: 3))
        #expect(told.tables.first { $0.name == "rule" } == .init(name: "rule", added: 1, kept: 1))
        try other.compile()
        let policy = try other.snapshot()
        #expect(policy.verdict("bad.example").action == .block)
        #expect(policy.verdict("ads.example").action == .forward, "the list 'ads' here is another one")
        #expect(try other.explain(DomainName("bad.example"), in: policy).list == "o\"k\u{e9}")
        #expect(try other.rules().first { $0.match == .regex }?.comment == "mine")
        #expect(try other.flowRules().count == 1)
        _ = try other.undoRules()
        #expect(try other.rules().map(\.comment) == ["mine"] && other.flowRules().isEmpty)
        // Once more there is nothing new but what was taken back.
        let again = try other.restore(from: path, .merge)
        #expect(Set(again.tables.filter { $0.added > 0 }.map(\.name)) == ["rule", "flow"])
    }

    /// Every way in which a file can be wrong: the reason, and nothing changed.
    @Test func badFilesChangeNothing() throws {
        let scratch = try Scratch()
        let store = try BackupTests.filled(scratch)
        let good = try store.export(to: scratch.path + "/good").path
        let lines = try BackupTests.unpacked(good)
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: good)))
        let other = try BlocklistStore(state: scratch.path + "/other")
        _ = try other.setRules([.init(.deny, .suffix, "mine.example")])
        let before = try BackupTests.rows(other)
        func refused(_ path: String, _ reason: String) throws {
            #expect {
                try other.restore(from: path, .replace)
            } throws: { error in
                let told =
                    "\(error)" == "\(path): \(reason)"
                    || reason.hasPrefix("…") && "\(error)".hasSuffix(String(reason.dropFirst()))
                if !told { print("\(error)\n  instead of \(reason)") }
                return told
            }
            #expect(try BackupTests.rows(other) == before)
        }
        func changed(_ reason: String, _ change: (inout [String]) -> Void) throws {
            var lines = lines
            change(&lines)
            let path = scratch.path + "/bad"
            try BackupTests.pack(lines, path)
            try refused(path, reason)
        }
        let entry = try #require(lines.firstIndex { $0.contains("\"ads.example\"") }) + 1
        try changed("written in version 2 of the format; this webtun reads version 1") {
            $0[0] = $0[0].replacing("export\":1", with: "export\":2")
        }
        try changed("written by a newer webtun (its step 'later' is unknown here)") {
            $0[0] = $0[0].replacing("\"formats\"", with: "\"formats\",\"later\"")
        }
        try changed("the checksum (SHA-256) does not fit: the file was changed or damaged") {
            $0[entry - 1] = $0[entry - 1].replacing("ads.example", with: "bds.example")
        }
        try changed("line \(entry): 'a b' is no name") {
            $0[entry - 1] = $0[entry - 1].replacing("ads.example", with: "a b")
        }
        try changed("line \(entry), column 2: table 'entry': no value") {
            $0[entry - 1] = "[?" + $0[entry - 1].dropFirst(2)
        }
        try changed("line \(entry): table 'entry': 1 values for 5 columns") { $0[entry - 1] = "[1]" }
        try changed("…: table 'entry': '[' is missing") { $0.remove(at: entry - 1) }
        try changed("the file ends without its last line") { $0.removeLast() }
        try changed("line \(lines.count + 1): more behind the end") { $0.append("x") }
        try changed("not a file that 'webtun export' wrote") { $0 = ["hello"] }
        try changed("…there is no table 'other'") { lines in
            lines[1] = lines[1].replacing("\"state\"", with: "\"other\"")
        }
        try changed("…table 'state' has no column 'other'") { lines in
            lines[1] = lines[1].replacing("\"bypass\"", with: "\"other\"")
        }
        for share in [0.3, 0.6, 0.99] {
            let path = try scratch.file("cut", Array(bytes[..<Int(Double(bytes.count) * share)]))
            do {
                _ = try other.restore(from: path, .replace)
                Issue.record("a file cut at \(share) was taken")
            } catch {
                #expect("\(error)".contains("cut off after"), "\(error)")
            }
            #expect(try BackupTests.rows(other) == before)
        }
        #expect(throws: BlocklistError.self) { try other.restore(from: scratch.path + "/none", .replace) }
    }

    /// A byte changed anywhere is noticed.
    @Test func everyDamageIsNoticed() throws {
        let scratch = try Scratch()
        let store = try BackupTests.filled(scratch)
        let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: store.export(to: scratch.path + "/good").path)))
        let other = try BlocklistStore(state: scratch.path + "/other")
        let before = try BackupTests.rows(other)
        // The first ten bytes are gzip's header, of which the time and the system say nothing.
        for place in stride(from: 10, to: good.count, by: 23) {
            var bytes = good
            bytes[place] ^= 0x10
            let path = try scratch.file("bad", bytes)
            #expect(throws: BlocklistError.self, "byte \(place)") { try other.restore(from: path, .intoEmpty) }
        }
        #expect(try BackupTests.rows(other) == before)
    }

    @Test func rowsOfAllKindsOfValues() throws {
        let values: [RowValue] = [
            .null, .integer(.min), .integer(7), .real(0.5), .real(-1e300), .real(3), .text([]), .blob([]),
            .blob([0, 255, 16]),
            .text(Array("\"\\\n\u{7f}\u{1}ü\u{1F600}".utf8)),
        ]
        var line: [UInt8] = [UInt8(ascii: "[")]
        for (index, value) in values.enumerated() {
            if index > 0 { line.append(UInt8(ascii: ",")) }
            switch value {
            case .null: line += "null".utf8
            case .integer(let number): RowText.append(number, to: &line)
            case .real(let number): RowText.append(number, to: &line)
            case .text(let bytes): bytes.withUnsafeBufferPointer { RowText.append($0, to: &line) }
            case .blob(let bytes): bytes.withUnsafeBufferPointer { RowText.append(blob: $0, to: &line) }
            }
        }
        line.append(UInt8(ascii: "]"))
        var read: [RowValue] = []
        try RowText.parse(line[...], into: &read)
        #expect(read == values)
        #expect((try JSONSerialization.jsonObject(with: Data(line))) is [Any])
        for bad in [
            "", "[", "[1", "[1,]", "[1]x", "[\"a]", "[+1]", "[1.2.3]", "[{\"hex\":\"0\"}]", "[{\"hex\":\"zz\"}]",
            "[\"\\q\"]", "[tru]",
        ] {
            #expect(throws: RowText.Problem.self, "\(bad)") { try RowText.parse(Array(bad.utf8)[...], into: &read) }
        }
    }

    /// The digest of FIPS 180-2, appendix B.1.
    @Test func digest() {
        var digest = SHA256()
        Array("abc".utf8).withUnsafeBytes { digest.update($0) }
        #expect(digest.text == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }
}
