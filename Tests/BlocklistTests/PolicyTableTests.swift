import Testing

@testable import Blocklist

/// The order of precedence as a table: lists and rules of a real store, names, and what the policy says of them.
struct PolicyTableTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var deny: [String] = []
        var allow: [String] = []
        var isExact = false
        var rules: [BlocklistStore.RuleRequest] = []
        var name: String
        var verdict: Verdict.Action
        var match: Verdict.Match
        /// Of the rule or the entry that decided; 0 for regular expressions and for none.
        var labels: UInt8

        var testDescription: String { "\(name): \(verdict)" }
    }

    private static func rule(
        _ action: UserRule.Action, _ text: String, _ match: UserRule.Match = .suffix
    ) -> BlocklistStore.RuleRequest {
        .init(action, match, text)
    }

    static let ads = ["ads.example"]
    static let adExpression = [rule(.deny, "^ad[0-9]+\\.", .regex)]
    static let exactAllow = [rule(.deny, "a.example"), rule(.allow, "a.example", .exact)]
    static let exactDeny = [rule(.deny, "a.example", .exact), rule(.allow, "a.example")]

    static let lists: [Case] = [
        Case(deny: ads, name: "ads.example", verdict: .block, match: .suffix, labels: 2),
        Case(deny: ads, name: "www.ads.example", verdict: .block, match: .suffix, labels: 2),
        Case(deny: ads, name: "bads.example", verdict: .forward, match: .none, labels: 0),
        Case(deny: ads, name: "example", verdict: .forward, match: .none, labels: 0),
        Case(deny: ["Ads.Example."], name: "ads.example", verdict: .block, match: .suffix, labels: 2),
        Case(deny: ads, isExact: true, name: "ads.example", verdict: .block, match: .exact, labels: 2),
        Case(deny: ads, isExact: true, name: "www.ads.example", verdict: .forward, match: .none, labels: 0),
        Case(deny: ["example", "ads.example"], name: "www.ads.example", verdict: .block, match: .suffix, labels: 2),
        Case(deny: ads, allow: ads, name: "www.ads.example", verdict: .allow, match: .suffix, labels: 2),
        Case(
            deny: ["www.shop.example"], allow: ["shop.example"], name: "www.shop.example", verdict: .allow,
            match: .suffix, labels: 2),
        Case(
            deny: ["example"], allow: ["shop.example"], name: "www.shop.example", verdict: .allow, match: .suffix,
            labels: 2),
        Case(
            deny: ["example"], allow: ["shop.example"], name: "www.example", verdict: .block, match: .suffix, labels: 1),
    ]

    static let rulesOverLists: [Case] = [
        Case(
            deny: ads, rules: [rule(.allow, "example")], name: "ads.example", verdict: .allow, match: .suffix, labels: 1
        ),
        Case(
            allow: ["shop.example"], rules: [rule(.deny, "example")], name: "shop.example", verdict: .block,
            match: .suffix, labels: 1),
        Case(
            allow: ["ad.example"], rules: [rule(.deny, "^ad", .regex)], name: "ad.example", verdict: .block,
            match: .regex, labels: 0),
    ]

    static let rules: [Case] = [
        Case(
            rules: [rule(.deny, "example"), rule(.allow, "shop.example")], name: "www.shop.example", verdict: .allow,
            match: .suffix, labels: 2),
        Case(
            rules: [rule(.deny, "shop.example"), rule(.allow, "example")], name: "www.shop.example", verdict: .block,
            match: .suffix, labels: 2),
        Case(rules: exactAllow, name: "a.example", verdict: .allow, match: .exact, labels: 2),
        Case(rules: exactAllow, name: "www.a.example", verdict: .block, match: .suffix, labels: 2),
        Case(rules: exactDeny, name: "a.example", verdict: .allow, match: .suffix, labels: 2),
        Case(rules: exactDeny, name: "www.a.example", verdict: .allow, match: .suffix, labels: 2),
        Case(rules: adExpression, name: "ad7.shop.example", verdict: .block, match: .regex, labels: 0),
        Case(rules: adExpression, name: "bad7.shop.example", verdict: .forward, match: .none, labels: 0),
        Case(
            rules: [rule(.deny, "^ad", .regex), rule(.allow, "shop", .regex)], name: "ad.shop.example",
            verdict: .allow, match: .regex, labels: 0),
        Case(
            rules: [rule(.deny, "^ad", .regex), rule(.allow, "example")], name: "ad.example", verdict: .allow,
            match: .suffix, labels: 1),
    ]

    @Test(arguments: lists + rulesOverLists + rules)
    func decides(_ item: Case) throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        for (title, names, isAllowing) in [("deny", item.deny, false), ("allow", item.allow, true)] where !names.isEmpty
        {
            let file = try scratch.file(title + ".txt", names.joined(separator: "\n") + "\n")
            _ = try store.add(file, .init(format: .domains, allow: isAllowing, exact: item.isExact))
        }
        _ = try store.setRules(item.rules)
        let verdict = try store.snapshot().verdict(item.name)
        #expect(verdict.action == item.verdict)
        #expect(verdict.match == item.match)
        #expect(verdict.labels == item.labels)
        // A user rule is told by list 0, a list by its id.
        let isByRule = item.verdict != .forward && !item.rules.isEmpty
        #expect((verdict.action != .forward && verdict.list == 0) == isByRule)
    }
}
