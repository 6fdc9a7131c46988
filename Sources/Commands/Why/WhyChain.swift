import Blocklist
import DNSProxy
import Daemon
import Kernel
import Wire

/// The whole way of a question, step by step in the order in which things are asked.
struct WhyChain {
    /// One step.
    struct Step {
        /// `record`, `pause`, `group`, `rule`, `list`, `bypass`, `safesearch`, `forward`, `cache`, `upstream`, `cname`.
        var name: String
        var text: String
        /// It decided.
        var wins = false
        /// It has no say.
        var isVoid = false
        var members: [(String, JSONValue)]
    }

    private var before: [Step] = []
    private var links: [Step] = []
    private var later: [Step] = []
    private var cnames: [Step] = []
    private var cache: [Step] = []
    private var upstream: [Step] = []
    /// The question ends before the cache.
    private let isBlocked: Bool
    private let servers: [String]

    /// - Parameter status: of the running webtun.
    init(_ links: [ChainLink], _ explanation: Explanation, _ status: DaemonStatus?, _ local: WhyLocal) {
        let isPolicyBlock = explanation.verdict.action == .block && status?.pausedUntil == nil
        isBlocked = isPolicyBlock && !local.hasRecords || local.endsHere
        let isPaused = status?.pausedUntil != nil
        later = local.laterSteps(isVoid: isPolicyBlock || local.hasRecords)
        before =
            local.recordSteps + [
                Step(
                    name: "pause",
                    text: status == nil
                        ? "no webtun runs here, or not for this user"
                        : isPaused ? "paused: nothing of what follows is in force" : "not paused", wins: isPaused,
                    members: [("running", .bool(status != nil)), ("paused", .bool(isPaused))])
            ]
        self.links = links.map { WhyChain.step($0) }
        if links.isEmpty {
            self.links = [Step(name: "rule", text: "no rule and no list has it", members: [("found", .bool(false))])]
        }
        // Names of a forward zone are asked of its servers alone.
        let servers = local.servers ?? status?.upstreams ?? WhyChain.configuredServers
        self.servers = servers
        let list = servers.isEmpty ? "none is known" : servers.joined(separator: ", ")
        upstream = [
            Step(
                name: "upstream", text: isBlocked ? "not asked" : list, isVoid: isBlocked,
                members: [
                    ("asked", .bool(!isBlocked)), ("servers", .array(servers.map(JSONValue.string))),
                ])
        ]
        cnames = [
            Step(
                name: "cname", text: isBlocked ? "not asked for" : "not asked for; --resolve asks", isVoid: true,
                members: [("asked", .bool(false))])
        ]
    }

    /// Which groups hold for whoever asks, and which do not and why.
    mutating func tell(_ policy: PolicySnapshot, _ profile: UInt16) {
        let names = policy.groups(of: profile)
        let isPaused = policy.isPaused(profile)
        let others = policy.groups.filter { policy.state(of: $0) != .on }
        // Where there is only 'default' nobody wants to hear of groups.
        guard policy.groups.count > 1 || isPaused || !others.isEmpty else { return }
        var words = isPaused ? ["who asks is paused: nothing of what follows is in force"] : []
        if !isPaused { words.append(names.isEmpty ? "no group is in force" : names.joined(separator: ", ")) }
        for group in others { words.append("\(group.name) is \(policy.state(of: group).text)") }
        before.append(
            Step(
                name: "group", text: words.joined(separator: "; "), wins: isPaused,
                members: [
                    ("groups", .array(names.map(JSONValue.string))), ("paused", .bool(isPaused)),
                    (
                        "out_of_force",
                        .array(
                            others.map {
                                .object([
                                    ("name", .string($0.name)), ("state", .string(policy.state(of: $0).rawValue)),
                                ])
                            })
                    ),
                ]))
    }

    private static var configuredServers: [String] {
        ((try? Configuration.load(file: nil)) ?? Configuration()).knownUpstreams.map(\.description)
    }

    // MARK: What speaks of the name

    private static func step(_ link: ChainLink) -> Step {
        var members: [(String, JSONValue)] = []
        let name: String
        let place: String
        switch link.source {
        case .rule(let id):
            (name, place) = ("rule", "your rule \(id)")
            members += [("user_rule", .integer(Int64(id))), ("list", .null)]
        case .list(_, let list):
            (name, place) = ("list", "\(list), line \(link.line ?? 0)")
            members += [("list", .string(list))]
        case .bypass:
            (name, place) = ("bypass", "bypass protection, line \(link.line ?? 0)")
            members += [("list", .string("bypass protection"))]
        }
        var words = [link.action == .allow ? "allows" : "blocks", place + ":", link.text]
        if let app = link.owner.app { words.append("for program \(app)") }
        if let user = link.owner.user { words.append("for user \(user)") }
        if link.isImportant, !link.text.contains("important") { words.append("(important)") }
        if let options = link.options { words.append("[\(options)]") }
        if !link.comment.isEmpty { words.append("(\(link.comment))") }
        if let reason = link.reason { words.append("— \(reason)") }
        members += [
            ("line", .optional(link.line)), ("rule", .string(link.text)), ("action", .string(link.action.rawValue)),
            ("match", .string(link.match.rawValue)), ("matched", .optional(link.matched)),
            ("important", .bool(link.isImportant)), ("options", .optional(link.options)),
            ("app", .optional(link.owner.app)), ("user", .optional(link.owner.user)),
            ("comment", link.comment.isEmpty ? .null : .string(link.comment)), ("reason", .optional(link.reason)),
            ("wins", .bool(link.wins)),
        ]
        return Step(
            name: name, text: words.joined(separator: " "), wins: link.wins, isVoid: link.reason != nil,
            members: members)
    }

    // MARK: Cache

    /// Asks the running webtun for what its cache holds.
    mutating func lookAt(_ name: DomainName, qtype: UInt16, state: String, isRunning: Bool) {
        func step(_ text: String, _ members: [(String, JSONValue)]) {
            cache = [Step(name: "cache", text: text, isVoid: isBlocked, members: members)]
        }
        guard isRunning, !isBlocked else {
            return step(isBlocked ? "not asked" : "no webtun runs", [("asked", .bool(false))])
        }
        guard let found = (try? ControlClient(state: state, patience: 2).cached(name.text, qtype: qtype)) ?? nil else {
            return step("the running webtun does not tell", [("asked", .bool(false))])
        }
        guard found.isCached else { return step("not in it", [("asked", .bool(true)), ("cached", .bool(false))]) }
        let rcode = found.rcode.map { RCode($0).description } ?? ""
        step(
            "\(rcode) from \(found.upstream ?? ""), \(found.age ?? 0) s old, for \(found.ttl ?? 0) s more"
                + (found.isChainBlocked == true ? "; its CNAME leads to a blocked name" : ""),
            [
                ("asked", .bool(true)), ("cached", .bool(true)), ("ttl", .optional(found.ttl.map(Int.init))),
                ("age", .optional(found.age.map(Int.init))), ("rcode", .string(rcode)),
                ("upstream", .optional(found.upstream)),
                ("cname_blocked", .optional(found.isChainBlocked.map { $0 ? 1 : 0 })),
            ])
    }

    // MARK: CNAMEs

    /// Asks an upstream past the filter, and judges the names to which CNAMEs lead. A rule that allows the name itself
    /// speaks for them too.
    mutating func resolve(
        _ name: DomainName, type: String, qtype: UInt16, _ asker: Asker, _ store: BlocklistStore,
        _ policy: PolicySnapshot,
        isAllowed: Bool
    ) throws {
        guard !isBlocked else { return }
        let mark = ((try? Configuration.load(file: nil)) ?? Configuration()).capture.mark
        guard let server = servers.lazy.compactMap({ SocketAddress($0, defaultPort: 53) }).first else {
            throw CommandFailure("no upstream is known that could be asked")
        }
        let query = try QueryMessage.compose(name: name.text, type: type, id: .random(in: 0...UInt16.max))
        let reply = try QueryClient(server: server, mark: mark).ask(query, isStream: false)
        guard let message = MessageText(reply.message, milliseconds: 0) else {
            throw CommandFailure("\(server) sent an answer that cannot be read")
        }
        cnames = []
        var current = name.text
        while cnames.count < 32,
            let hop = message.answer.first(where: { $0.type == "CNAME" && DomainName.same($0.name, current) }),
            let target = try? DomainName(hop.data)
        {
            let explanation = try store.explain(target, qtype: qtype, asker: asker, in: policy)
            let isBlocked = explanation.verdict.action == .block && !isAllowed
            let why =
                explanation.list.map { "\($0), line \(explanation.line ?? 0)" }
                ?? (explanation.verdict.list == 0 ? "your rule \(explanation.verdict.rule)" : nil)
            let word =
                isBlocked
                ? "blocked by \(why ?? "")"
                : explanation.verdict.action == .block
                    ? "listed (\(why ?? "")), but the name itself is allowed" : "\(explanation.verdict.action)"
            cnames.append(
                Step(
                    name: "cname", text: "\(current) → \(target.text): \(word)", wins: isBlocked,
                    members: [
                        ("asked", .bool(true)), ("name", .string(current)), ("target", .string(target.text)),
                        ("verdict", .string(isBlocked ? "block" : "\(explanation.verdict.action)")),
                        ("list", .optional(explanation.list)), ("rule", .optional(explanation.rule)),
                        ("line", .optional(explanation.line)), ("wins", .bool(isBlocked)),
                    ]))
            current = target.text
        }
        let data = message.answer.filter { $0.type != "CNAME" && $0.type != "RRSIG" }.map(\.data)
        if cnames.isEmpty {
            cnames = [
                Step(name: "cname", text: "none", members: [("asked", .bool(true)), ("target", .null)])
            ]
        }
        upstream[0].text += "; \(server) says \(message.rcodeName) \(data.joined(separator: ", "))"
        upstream[0].members += [
            ("answered", .string("\(server)")), ("rcode", .string(message.rcodeName)),
            ("answer", .array(data.map(JSONValue.string))),
        ]
    }

    /// Whether the answer is blocked because of a name that a CNAME leads to.
    var isBlockedByCNAME: Bool { cnames.contains(where: \.wins) }

    // MARK: Output

    private var steps: [Step] { before + links + later + cache + upstream + cnames }

    func text(style: Style) -> String {
        let lines = steps.map { step in
            let mark = step.wins ? "*" : " "
            let text = step.text.printable
            return "  \(mark) " + style.paint(step.name.padded(10), .dim)
                + style.paint(text, step.wins ? .bold : step.isVoid ? .dim : nil)
        }
        return (["chain"] + lines).joined(separator: "\n")
    }

    var json: JSONValue {
        .array(steps.map { .object([("step", .string($0.name))] + $0.members) })
    }
}

extension DomainName {
    /// Whether a name of a message, with or without the last dot, is a stored one.
    static func same(_ name: String, _ stored: String) -> Bool {
        (try? DomainName(name))?.text == stored
    }
}
