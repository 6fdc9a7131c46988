import Foundation
import Kernel
import Testing
import Wire

@testable import Blocklist

struct BypassTests {
    /// The data that comes with webtun.
    static let data =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path + "/blocklists/resolvers.bypass"

    @Test func theDataThatComesWithWebtunIsTaken() throws {
        let text = try String(contentsOfFile: BypassTests.data, encoding: .utf8)
        let entries = try ResolverFile.parse(text, path: "resolvers.bypass")
        #expect(entries.count { $0.kind == .names } > 40)
        #expect(entries.count { $0.kind == .addresses } > 90)
        #expect(
            Set(entries.filter { $0.kind == .nxdomain }.map(\.subject)) == [
                "use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com",
            ])
        #expect(entries.filter { $0.kind == .nodata }.map(\.subject) == ["resolver.arpa"])
        #expect(entries.filter { $0.kind == .port }.map(\.subject) == ["tcp/853", "udp/853"])
        // No name is below another, which stands for it.
        let names = entries.filter { $0.kind == .names }.map(\.subject)
        for name in names { #expect(!names.contains { name.hasSuffix("." + $0) }, "\(name)") }
        // Nothing stands there twice, and every operator says where.
        let subjects = entries.map { "\($0.kind) \($0.subject)" }
        #expect(Set(subjects).count == subjects.count)
        #expect(entries.allSatisfy { $0.source.hasPrefix("https://") })
    }

    @Test(arguments: [
        (
            "operator x https://x.example\nnames a..b\n",
            "line 2: 'a..b': a label is empty (two dots, or a dot in front)"
        ),
        ("names a.example\n", "line 1: no 'operator' line before it"),
        ("operator x\n", "line 1: 'operator' takes a name and an address of a page"),
        ("operator x https://x.example\nnames\n", "line 2: 'names' without a value"),
        (
            "operator x https://x.example\nhosts a.example\n",
            "line 2: 'hosts' is not port, operator, names, addresses, nxdomain or nodata"
        ),
        ("operator x https://x.example\nport tcp/0\n", "line 2: 'tcp/0' is no port; write tcp/853 or udp/853"),
        ("operator x https://x.example\nport sctp/853\n", "line 2: 'sctp/853' is no port; write tcp/853 or udp/853"),
        (
            "operator x https://x.example\naddresses 192.0.2.1/24\n",
            "line 2: '192.0.2.1/24': has bits behind the prefix; write 192.0.2.0/24"
        ),
        ("# nothing\n", "holds no names, addresses or ports"),
    ])
    func aBrokenFileChangesNothing(text: String, reason: String) throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        try store.loadResolvers(BypassTests.data)
        let before = try store.bypass()
        let file = try scratch.file("mine.bypass", text)
        #expect(throws: BlocklistError.listRefused(file, reason)) { try store.loadResolvers(file) }
        #expect(try store.bypass() == before)
        #expect(throws: BlocklistError.self) { try store.loadResolvers(scratch.path + "/missing") }
    }

    @Test func theSwitchNeedsData() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        #expect(throws: BlocklistError.self) { try store.setBypass(true) }
        try store.setBypass(false)
        #expect(try !store.bypass().isOn)
    }

    @Test func namesAreBlockedWhileTheSwitchIsOn() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        try store.loadResolvers(BypassTests.data)
        let off = try store.snapshot()
        #expect(off.verdict("dns.google").action == .forward)
        #expect(!off.isBypassProtected)
        let follower = try PolicyFollower(state: store.state, current: off)
        _ = try follower.poll()
        try store.setBypass(true)
        let on = try #require(try follower.poll(), "a running daemon sees the switch")
        for (name, answer) in [
            ("dns.google", Verdict.Answer.configured), ("mozilla.cloudflare-dns.com", .configured),
            ("use-application-dns.net", .nxdomain), ("mask.icloud.com", .nxdomain), ("mask-h2.icloud.com", .nxdomain),
            ("_dns.resolver.arpa", .nodata),
        ] {
            let verdict = on.verdict(name)
            #expect(verdict.action == .block, "\(name)")
            #expect(verdict.list == Verdict.bypass)
            #expect(verdict.answer == answer, "\(name)")
            let entry = try #require(try store.resolver(line: verdict.rule))
            #expect(name.hasSuffix(entry.subject) || entry.line == verdict.rule)
        }
        #expect(on.verdict("google.com").action == .forward)
        #expect(on.verdict("icloud.com").action == .forward)
        // The user's word and allow lists come first; so do other lists.
        _ = try store.setRules([.init(.allow, .suffix, "dns.google")])
        _ = try store.add(scratch.file("good.txt", "use-application-dns.net\n"), .init(format: .domains, allow: true))
        let policy = try store.snapshot()
        #expect(policy.verdict("dns.google").action == .allow)
        #expect(policy.verdict("use-application-dns.net").action == .allow)
        try store.setBypass(false)
        #expect(try store.snapshot().verdict("dns.quad9.net").action == .forward)
    }

    @Test func theDataIsAmongTheStarterLists() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        try FileManager.default.createDirectory(atPath: scratch.path + "/starter", withIntermediateDirectories: true)
        let file = try scratch.file("starter/resolvers.bypass", "operator a https://a.example\nnames a.example\n")
        _ = try store.loadStarterLists(scratch.path + "/starter")
        #expect(try store.bypass().entries.map(\.subject) == ["a.example"])
        _ = try scratch.file("starter/resolvers.bypass", "operator a https://a.example\nnames b.example\n")
        _ = try store.loadStarterLists(scratch.path + "/starter")
        #expect(try store.bypass().entries.map(\.subject) == ["b.example"], "a newer file replaces the older")
        // Data of the user's own stays.
        try store.loadResolvers(scratch.file("mine.bypass", "operator c https://c.example\nnames c.example\n"))
        let results = try store.loadStarterLists(scratch.path + "/starter")
        #expect(try store.bypass().entries.map(\.subject) == ["c.example"])
        #expect(results.isEmpty)
        // A broken one is told, and changes nothing.
        try store.loadResolvers(file)
        _ = try scratch.file("starter/resolvers.bypass", "nonsense\n")
        #expect(try store.loadStarterLists(scratch.path + "/starter").count == 1)
        #expect(try store.bypass().entries.map(\.subject) == ["b.example"])
    }

    @Test func hidesNamesThatAreBlockedOrWhoseFlowsAreCut() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.setRules([.init(.deny, .suffix, "ads.example")])
        _ = try store.setFlowRules([FlowTableTests.flow(.deny, name: "video.example", ports: 443...443)])
        #expect(try !store.snapshot().hides("ads.example"), "the switch is off")
        try store.loadResolvers(BypassTests.data)
        try store.setBypass(true)
        let policy = try store.snapshot()
        #expect(policy.hides("www.ads.example"))
        #expect(policy.hides("www.video.example"))
        #expect(!policy.hides("shop.example"))
    }
}

extension PolicySnapshot {
    fileprivate func hides(_ name: String) -> Bool {
        hides(wire(name).span.bytes)
    }
}
