import Testing
import Wire

@testable import Blocklist

/// Lists of addresses: what is taken of which line, and what flows they forbid.
struct AddressListTests {
    static let list = """
        # Title: addresses
        ! a comment
        ; another
        // and another
        192.0.2.7
        192.0.2.0/30   # with a comment
        198.51.100.0/24 ; as some lists have it
        203.0.113.9;x
        2001:DB8::1
        2001:db8:bad::/48
        192.0.2.7/24
        192.0.2.300
        0.0.0.0/0
        192.0.2.1 192.0.2.2
        ads.example
        192.0.2.010
        2001:db8::/129

        """

    @Test func linesOfAddresses() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let report = try store.add(scratch.file("bad.ip.txt", AddressListTests.list))
        #expect(report.format == .ip, "by its lines")
        #expect(
            try store.entries(of: report.list, limit: 100).map { "\($0.line) \($0.name)" } == [
                "5 192.0.2.7", "6 192.0.2.0/30", "7 198.51.100.0/24", "8 203.0.113.9", "9 2001:db8::1",
                "10 2001:db8:bad::/48",
            ])
        #expect(report.refusals.map(\.line) == [11, 12, 13, 14, 15, 16, 17])
        #expect(report.refusals[0].reason == "has bits behind the prefix; write 192.0.2.0/24")
        #expect(report.refusals[2].reason == "\(LineProblem.everyAddress)")
        #expect(report.refusals[3].reason == "\(LineProblem.severalAddresses)")
    }

    /// Action, list and line of a flow without a name.
    private func judge(_ policy: PolicySnapshot, _ remote: String, isNameFinal: Bool = true) -> [Int] {
        let verdict = policy.flowVerdict(
            remote: IPAddress(remote)!, port: 443, proto: 6, name: RawSpan(), asker: .everybody,
            isNameFinal: isNameFinal)
        return [Int(verdict.action.rawValue), Int(verdict.list), Int(verdict.rule)]
    }

    @Test func flowsToListedAddressesAreCut() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let deny = try store.add(scratch.file("bad.ip.txt", AddressListTests.list)).list
        let policy = try store.snapshot()
        #expect(policy.prefixes == 6)
        #expect(policy.names == 0)
        #expect(judge(policy, "192.0.2.7") == [1, Int(deny), 5])
        #expect(judge(policy, "192.0.2.3") == [1, Int(deny), 6])
        #expect(judge(policy, "192.0.2.4") == [0, -1, -1])
        #expect(judge(policy, "2001:db8:bad:1::5") == [1, Int(deny), 10])
        #expect(judge(policy, "2001:db8:bae::") == [0, -1, -1])
        #expect(judge(policy, "192.0.2.7", isNameFinal: false) == [1, Int(deny), 5], "no name can help: at once")

        let allow = try store.add(
            scratch.file("good.txt", "192.0.2.0/24\n"), .init(format: .ip, allow: true)
        ).list
        let repaired = try store.snapshot()
        #expect(judge(repaired, "192.0.2.7") == [0, Int(allow), 1], "an allow list wins, whatever is longer")
        #expect(judge(repaired, "198.51.100.1") == [1, Int(deny), 7])

        try store.setEnabled(["good"], false)
        #expect(judge(try store.snapshot(), "192.0.2.7") == [1, Int(deny), 5])
        try store.removeLists(["bad"])
        #expect(judge(try store.snapshot(), "192.0.2.7") == [0, -1, -1])
    }

    @Test func everyLineOfALongListIsFound() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        var random = Seeded(state: 20_261_124)
        // Few enough high bits that buckets hold many, and IPv6 for every fifth.
        let addresses = (0..<3000).map { index in
            index % 5 == 4
                ? IPAddress(high: 0x2001_0db8 << 32 | random.next() & 0xFFFF, low: random.next())
                : IPAddress(v4: UInt32(truncatingIfNeeded: random.next()) & 0x0007_FFFF | 0xC633_0000)
        }
        let text = addresses.map { "\($0)\n" }.joined()
        let list = try store.add(scratch.file("long.ip.txt", text)).list
        let policy = try store.snapshot()
        var first: [IPAddress: Int] = [:]
        for (index, address) in addresses.enumerated() where first[address] == nil { first[address] = index + 1 }
        #expect(policy.prefixes == first.count)
        for (address, line) in first {
            let found = judge(policy, address.description)
            guard found == [1, Int(list), line] else {
                Issue.record("\(address), line \(line): \(found)")
                return
            }
        }
    }

    @Test func exactIsForNames() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let file = try scratch.file("bad.ip.txt", "192.0.2.1\n")
        #expect(throws: BlocklistError.listRefused(file, "addresses; 'exact' is for names")) {
            _ = try store.add(file, .init(exact: true))
        }
        #expect(try store.lists().isEmpty)
    }

    @Test func namesAndAddressesShareAnIndex() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.add(scratch.file("names.txt", "ads.example\n"))
        let second = try store.add(scratch.file("bad.ip", "198.51.100.9\n")).list
        _ = try store.add(scratch.file("more.hosts", "0.0.0.0 tracker.example\n0.0.0.0 pixel.example\n"))
        let policy = try store.snapshot()
        #expect(policy.verdict("pixel.example").list == 3)
        #expect(policy.verdict("ads.example").list == 1)
        #expect(judge(policy, "198.51.100.9") == [1, Int(second), 1])
        #expect(policy.verdict("198.51.100.9").action == .forward, "an address is no name")
        let hit = try #require(try store.search("100.9", limit: 5).hits.first)
        #expect(hit.isAddress)
    }
}
