import ArgumentParser
import Blocklist
import DNSProxy
import Kernel
import Wire

/// `webtun why`
struct Why: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell what is decided about a name or a flow, and by what.",
        discussion: """
            Answers from the lists and rules, whether webtun runs or not. An address asks about flows to it. The exit status
            is 3 when the name or the flow is blocked, 0 when it is allowed or forwarded. The answer is the one that a
            query of the type would get now; when webtun is paused, nobody is blocked, whatever the verdict.
            Below it stands the whole chain, in the order in which things are asked: everything that speaks of the name,
            what decided marked with '*', what has no say and why; the cache of the running webtun; the upstreams. The
            names to which CNAMEs lead are known only when somebody asks: --resolve does, past the filter.

            With --client and --at the answer is the one that this client gets, at that time: groups, schedules and pauses
            (docs/policy.md) are looked at as they are for it then.

            Examples:
              webtun why ads.example
              webtun why ads.example --type HTTPS
              webtun why bücher.example --json
              webtun why www.shop.example --resolve
              webtun why shop.example --app firefox --user alice
              webtun why games.example --client 192.0.2.7 --at 21:30
              webtun why 203.0.113.7 --port 853 --proto tcp
              webtun why 203.0.113.7 --name shop.example
            """)

    @Argument(help: ArgumentHelp("A name, IDNs as Unicode or as A-labels, or an address.", valueName: "name"))
    var name: String
    @Option(
        name: .customLong("type"),
        help: ArgumentHelp(
            "The query's type, by default A: the verdict holds for all, the answer differs.", valueName: "type"))
    var type: String?
    @Option(name: .customLong("port"), help: ArgumentHelp("Of a flow: the remote port.", valueName: "port"))
    var port: UInt16?
    @Option(name: .customLong("proto"), help: ArgumentHelp("Of a flow: its protocol.", valueName: "protocol"))
    var proto: FlowProtocol?
    @Option(name: .customLong("name"), help: ArgumentHelp("Of a flow: the name it goes to.", valueName: "name"))
    var flowName: String?
    @Flag(name: .customLong("resolve"), help: "Ask an upstream, and judge the names that CNAMEs lead to.")
    var resolve = false
    @OptionGroup var owner: OwnerArguments
    @OptionGroup var who: AskerArguments
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if IPAddress(name) == nil, port != nil || proto != nil || flowName != nil {
            throw ValidationError("--port, --proto and --name go with an address: 'webtun why 203.0.113.7 --port 443'")
        }
        if IPAddress(name) != nil, type != nil { throw ValidationError("--type goes with a name") }
        guard let type else { return }
        guard (try? QueryMessage.compose(name: ".", type: type, id: 0)) != nil else {
            throw ValidationError("'\(type)' is no query type; write A, AAAA, HTTPS or TYPE65")
        }
    }

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let person = try owner.owner.example
        if let remote = IPAddress(name) { return try explain(remote, person, store) }
        let name = try DomainName(name)
        let policy = try ListWork.withProgress("") { try who.policy(store, progress: $0) }
        let asker = try who.asker(person, policy)
        let qtype = RecordType((type ?? "A").uppercased())?.code ?? 0
        let explanation = try store.explain(name, qtype: qtype, asker: asker, in: policy)
        let local = try WhyLocal(name, qtype: qtype, asker: asker, policy, store)
        let status = WhyAnswer.status(state: global.stateDirectory)
        let answer = try WhyAnswer(name, type: type ?? "A", person, client: who.address, policy, status: status)
        let links = try store.chain(name, qtype: qtype, asker: asker, explanation, in: policy)
        var chain = WhyChain(links, explanation, status, local)
        chain.tell(policy, asker.profile)
        chain.lookAt(name, qtype: qtype, state: global.stateDirectory, isRunning: status != nil)
        if resolve {
            try chain.resolve(
                name, type: type ?? "A", qtype: qtype, asker, store, policy,
                isAllowed: explanation.verdict.action == .allow)
        }
        print(
            output.json
                ? Why.json(explanation, answer, chain, local).description
                : Why.text(explanation, answer, local, style: .output) + "\n" + chain.text(style: .output))
        if local.hasRecords { return }
        if explanation.verdict.action == .block || chain.isBlockedByCNAME { throw ExitStatus.blocked.exit }
    }

    private func explain(_ remote: IPAddress, _ asker: Owner, _ store: BlocklistStore) throws {
        var question = BlocklistStore.FlowQuestion(remote: remote)
        question.proto = proto?.number ?? 6
        question.port = FlowConditions.hasPorts(question.proto) ? port ?? 443 : 0
        question.name = try flowName.map { try DomainName($0).text }
        let policy = try ListWork.withProgress("") { try who.policy(store, progress: $0) }
        question.asker = try who.asker(asker, policy)
        let explanation = try store.explain(question, in: policy)
        print(output.json ? FlowText.json(explanation).description : FlowText.text(explanation, style: .output))
        if explanation.verdict.action == .drop { throw ExitStatus.blocked.exit }
    }

    static func json(
        _ explanation: Explanation, _ answer: WhyAnswer, _ chain: WhyChain, _ local: WhyLocal
    ) -> JSONValue {
        let verdict = explanation.verdict
        return .object(
            [
                ("name", .string(explanation.name)),
                ("verdict", .string(local.hasRecords ? "forward" : "\(verdict.action)")),
                ("list", .optional(explanation.list)), ("rule", .optional(explanation.rule)),
                ("line", .optional(explanation.line)),
                ("match", verdict.match == .none ? .null : .string("\(verdict.match)")),
                ("matched", .optional(explanation.matched)),
                ("user_rule", verdict.list == 0 ? .integer(Int64(verdict.rule)) : .null),
                ("comment", explanation.comment.map { $0.isEmpty ? .null : .string($0) } ?? .null),
            ] + answer.json + [("chain", chain.json)])
    }

    static func text(_ explanation: Explanation, _ answer: WhyAnswer, _ local: WhyLocal, style: Style) -> String {
        let verdict = explanation.verdict
        let (word, ink): (String, Style.Ink) =
            switch verdict.action {
            case _ where local.hasRecords: ("answered from your records, before any list or rule", .green)
            case .block: ("blocked", .red)
            case .allow: ("allowed", .green)
            case .forward: ("forwarded", .green)
            }
        var lines = ["\(explanation.name.printable): \(style.paint(word, ink))"]
        func fact(_ name: String, _ value: String) {
            lines.append("  " + style.paint(name.padded(9), .dim) + value.printable)
        }
        if local.hasRecords, verdict.match == .none {
            fact("by", "your records")
        } else if verdict.match == .none {
            fact("by", "no rule and no list has it")
        } else if let list = explanation.list {
            fact("list", "\(list), line \(explanation.line ?? 0)")
        } else {
            fact("by", "your rule \(verdict.rule)")
        }
        if let rule = explanation.rule { fact("rule", rule) }
        switch verdict.match {
        case .none: break
        case .exact: fact("match", "the name itself")
        case .suffix:
            let whole = explanation.matched == explanation.name
            fact("match", whole ? "the name and everything below it" : "everything below \(explanation.matched ?? "")")
        case .regex: fact("match", "the regular expression is found in the name")
        }
        if let comment = explanation.comment, !comment.isEmpty { fact("comment", comment) }
        for (name, value) in answer.facts { fact(name, value) }
        return lines.joined(separator: "\n")
    }
}
