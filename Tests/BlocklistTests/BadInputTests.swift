import Foundation
import Glibc
import Testing

@testable import Blocklist

/// Lists that are no good: what is said, and that the last good state goes on filtering.
struct BadInputTests {
    /// A list that was good once, in a file of its own.
    struct Good {
        let scratch = try! Scratch()
        let store: BlocklistStore
        let file: String

        init(_ text: String = "||ads.example^\n||old.example^\n", _ format: ListFormat = .adblock) throws {
            store = try BlocklistStore(state: scratch.path + "/state")
            file = try scratch.file("list.txt", text)
            _ = try store.add(file, .init(name: "list", format: format))
            try store.compile()
        }

        func action(_ name: String) throws -> Verdict.Action {
            try store.snapshot().verdict(name).action
        }

        /// Puts other bytes into the file and reads it again; gives back why that failed.
        func replace(_ bytes: [UInt8]) throws -> String? {
            _ = try scratch.file("list.txt", bytes)
            do {
                _ = try store.update("list")
                return nil
            } catch BlocklistError.listRefused(_, let reason) {
                return reason
            }
        }
    }

    static let utf16: [UInt8] =
        [0xFF, 0xFE] + "||x.example^\n".utf16.flatMap { unit -> [UInt8] in [UInt8(unit & 0xFF), UInt8(unit >> 8)] }

    /// Files that are refused whole: the names of the last good reading stay, and the list says why.
    @Test(arguments: [
        ([UInt8](), "the file is empty"), (utf16, "UTF-16 text; convert it to UTF-8 first, for example with iconv"),
        (Array("<!DOCTYPE html><title>404</title>".utf8), "line 1: a web page or XML, not a list"),
        (Array("\n\n  <html>".utf8), "line 3: a web page or XML, not a list"),
        ([0x1F, 0x8B, 8, 0, 0, 0, 0, 0], "compressed; unpack it first"),
        ([0, 0, 0, 0x0A], "no line can be taken (1 refused); line 1: a NUL byte"),
        (Array("! nothing but a comment\n".utf8), "holds nothing"),
        (
            Array("/(a|b)*a(a|b){40}/\n".utf8),
            "no line can be taken (1 refused); line 1: /(a|b)*a(a|b){40}/, character 1: too complex"
        ),
    ])
    func filesThatAreNoLists(_ bytes: [UInt8], _ reason: String) throws {
        let good = try Good()
        let told = try #require(try good.replace(bytes))
        #expect(told.hasPrefix(reason), "\(told)")
        let list = try good.store.list("list")
        #expect(list.error == told && list.entries == 2)
        try good.store.compile()
        #expect(try good.action("www.ads.example") == .block)
        #expect(try good.action("x.example") == .forward)
        // And a good file heals it.
        #expect(try good.replace(Array("||new.example^\n".utf8)) == nil)
        try good.store.compile()
        #expect(try good.store.list("list").error == nil)
        #expect(try good.action("new.example") == .block)
        #expect(try good.action("ads.example") == .forward)
    }

    /// Lines that are refused one by one: what is around them counts.
    @Test(arguments: [
        ([0x61, 0, 0x62], "a NUL byte"), (Array("a\u{FF}\u{1}b".utf8), "the byte 0x01 cannot be in a name"),
        ([0x61, 0xC3], "not valid UTF-8"),
        (Array("/(a|b)*a(a|b){40}/".utf8), "/(a|b)*a(a|b){40}/, character 1: too complex"),
        (Array("/((((x{200}){200}){200}){200})/".utf8), "/((((x{200}){200}){200}){200})/, character 1: too long"),
        (Array("/x(/".utf8), "/x(/, character 2: ')' is missing"),
        ([UInt8](repeating: 0x61, count: LineReader.longest + 1), "longer than 65536 bytes"),
        (Array("||x.example^$dnsrewrite=a..b".utf8), "'$dnsrewrite' with 'a..b': a label is empty"),
    ])
    func linesThatAreNone(_ line: [UInt8], _ reason: String) throws {
        let good = try Good()
        #expect(try good.replace(Array("||before.example^\n".utf8) + line + Array("\n||behind.example^\n".utf8)) == nil)
        let refusals = try good.store.refusals(of: 1)
        #expect(refusals.count == 1 && refusals[0].line == 2)
        #expect(refusals.first?.reason.hasPrefix(reason) == true, "\(refusals)")
        try good.store.compile()
        #expect(try good.action("before.example") == .block)
        #expect(try good.action("behind.example") == .block)
    }

    @Test func zoneWithOneBadRecord() throws {
        let good = try Good("$TTL 60\n@ SOA a. b. 1 2 3 4 5\nads.example CNAME .\n", .rpz)
        let zone =
            "$TTL 60\n@ SOA a. b. 2 2 3 4 5\nads.example CNAME .\nbad.example A 192.0.2.999\nnew.example CNAME .\n"
        #expect(try good.replace(Array(zone.utf8)) == nil)
        let refusals = try good.store.refusals(of: 1)
        #expect(refusals.map(\.line) == [4] && refusals.map(\.text) == ["bad.example A 192.0.2.999"])
        #expect(refusals.first?.reason.isEmpty == false)
        try good.store.compile()
        #expect(try good.action("ads.example") == .block)
        #expect(try good.action("new.example") == .block)
        #expect(try good.action("bad.example") == .forward)
    }

    /// A line of a gigabyte (a hole in a file) is passed over through the one buffer.
    @Test func lineOfAGigabyte() throws {
        let good = try Good()
        let path = good.file
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.truncate(atOffset: 0)
        try handle.write(contentsOf: Array("||before.example^\n".utf8))
        try handle.truncate(atOffset: 1 << 30)
        try handle.seek(toOffset: 1 << 30)
        try handle.write(contentsOf: Array("\n||behind.example^\n".utf8))
        try handle.close()
        let before = Self.residentBytes()
        guard case .updated(let report) = try good.store.update("list") else {
            Issue.record("unchanged")
            return
        }
        #expect(Self.residentBytes() - before < 64 << 20)
        #expect(report.entries == 2 && report.lines == 3)
        #expect(report.refusals.map { "\($0.line): \($0.reason)" } == ["2: \(LineProblem.tooLong)"])
        try good.store.compile()
        #expect(try good.action("behind.example") == .block)
    }

    /// What the process has in memory.
    private static func residentBytes() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        return (Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0) * Int(getpagesize())
    }
}
