import CAllocations
import Testing

@testable import Blocklist

/// A verdict allocates nothing, whatever it is and however it is found.
struct AllocationTests {
    @Test func verdictsDoNotAllocate() throws {
        let rule = { (id: Int32, match: UserRule.Match, action: UserRule.Action, name: String) in
            UserRule(id: id, match: match, action: action, name: name, comment: "", added: 0)
        }
        let snapshot = try snapshot(
            IndexTests.classes, (1...500).flatMap { [("ads\($0).example", $0 % 5, $0), ("ads\($0).example", 4, $0)] },
            rules: [
                rule(1, .suffix, .deny, "mine.example"), rule(2, .regex, .deny, "^ad[sx]+[.]"),
                rule(3, .exact, .allow, "good.mine.example"),
            ], profiles: Profiles([.init(), .init(lists: [0, 1, 2, 3], rules: [0])]))
        let names = [
            "ads1.example", "www.ads2.example", "a.b.c.d.e.ads5.example", "www.mine.example", "good.mine.example",
            "adsx.example", "nothing.test", "",
        ].map(wire)
        var allocations: UInt = 0
        var blocked = 0
        // The first round may set up what is set up once.
        for round in 0..<100 {
            for name in names {
                let span = name.span.bytes
                let before = allocations_of_this_thread()
                let verdict = snapshot.verdict(for: span, qtype: 1, asker: Asker(profile: UInt16(round % 2)))
                let after = allocations_of_this_thread()
                if round > 0 { allocations += after - before }
                if verdict.action == .block { blocked += 1 }
            }
        }
        #expect(allocations == 0)
        // ads1, www.ads2 where nothing allows it, ads5, www.mine, adsx
        #expect(blocked == 400)
    }
}
