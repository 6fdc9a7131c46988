import ArgumentParser
import Blocklist

/// What `flow allow` and `flow deny` take.
struct FlowArguments: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "Where the flows go: addresses, prefixes or names (each with all names below it).", valueName: "remote"))
    var remotes: [String] = []
    @Option(name: .customLong("name"), help: ArgumentHelp("The name that the flows go to.", valueName: "name"))
    var name: String?
    @Flag(name: .customLong("exact"), help: "The name alone, not those below it.")
    var isExact = false
    @Option(
        name: .customLong("port"), help: ArgumentHelp("The remote port, or a range: 25, 6000-6063.", valueName: "port"))
    var port: PortRange?
    @Option(
        name: .customLong("proto"),
        help: ArgumentHelp("tcp, udp, icmp, icmpv6, sctp, gre, esp … or a number.", valueName: "protocol"))
    var proto: FlowProtocol?
    @OptionGroup var owner: OwnerArguments
    @OptionGroup var groups: GroupArguments
    @Option(
        name: [.customShort("m"), .customLong("comment")],
        help: ArgumentHelp("Why the rule is there.", valueName: "comment"))
    var comment = ""
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard !remotes.isEmpty || name != nil || port != nil || proto != nil || owner.app != nil || owner.user != nil
        else {
            throw ValidationError("a rule needs a condition; what happens to all flows is set by [flows] default")
        }
        if isExact && name == nil && !remotes.contains(where: { (try? conditions($0))?.name != nil }) {
            throw ValidationError("--exact goes with a name")
        }
        if port != nil, let number = proto?.number, !FlowConditions.hasPorts(number) {
            throw ValidationError("protocol \(FlowProtocol.text(number)) has no ports")
        }
    }

    /// A rule for each remote.
    private func conditions(_ remote: String?) throws -> FlowConditions {
        var conditions = FlowConditions()
        conditions.ports = port?.ports
        conditions.proto = proto?.number
        conditions.owner = try owner.owner
        conditions.name = try name.map { try DomainName($0).text }
        if let remote {
            if FlowArguments.isAddress(remote) {
                conditions.remote = try IPPrefix(remote)
            } else if name != nil {
                throw CommandFailure("'\(remote)' is no address, and --name has the name")
            } else {
                conditions.name = try DomainName(remote).text
            }
        }
        conditions.isExact = isExact && conditions.name != nil
        return conditions
    }

    /// Whether a text is meant as an address or prefix.
    static func isAddress(_ text: String) -> Bool {
        text.contains("/") || text.contains(":") || text.utf8.allSatisfy { $0 &- 0x30 < 10 || $0 == 0x2E }
    }

    func set(_ action: UserRule.Action) throws {
        let all: [String?] = remotes.isEmpty ? [nil] : remotes
        let requests = try all.map {
            BlocklistStore.FlowRequest(action, try conditions($0), comment: comment, groups: groups.groups)
        }
        let store = try BlocklistStore(state: global.stateDirectory)
        let labels = try GroupLabels(store)
        for rule in try store.setFlowRules(requests) {
            print(
                output.json
                    ? FlowLs.json(rule, labels).description
                    : "\(FlowLs.text(rule, labels)) (flow rule \(rule.id))".printable)
        }
    }
}

/// `webtun flow allow`
struct FlowAllow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "allow",
        abstract: "Allow flows, whatever other rules and lists say.",
        discussion: """
            Examples:
              webtun flow allow 192.0.2.0/24 --port 22
              webtun flow allow shop.example --exact
            """)

    @OptionGroup var flow: FlowArguments

    func run() throws {
        try flow.set(.allow)
    }
}

/// `webtun flow deny`
struct FlowDeny: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deny",
        abstract: "Cut flows.",
        discussion: """
            Examples:
              webtun flow deny 203.0.113.0/24 2001:db8:bad::/48
              webtun flow deny --proto udp --port 443 -m "no QUIC"
              webtun flow deny games.example --user alice
              webtun flow deny --app /usr/bin/telemetryd
              webtun flow deny --port 25 --group guests
            """)

    @OptionGroup var flow: FlowArguments

    func run() throws {
        try flow.set(.deny)
    }
}
