import ArgumentParser
import Blocklist

/// `webtun flow`
struct FlowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flow",
        abstract: "Allow and cut flows by address, port, protocol, name, program or user.",
        discussion: """
            Rules speak of flows that this machine, or a client behind it, begins; they are in force in full mode. The rule
            that says more wins: a program or user first, then the longer name, the longer prefix, the narrower range of
            ports, a protocol; of equals the allowing one. Flow rules come before all other rules and lists. A running webtun
            follows changes within a second, and judges live flows again.

            Examples:
              webtun flow deny 203.0.113.0/24
              webtun flow deny --port 25 --proto tcp -m "no mail from here"
              webtun flow allow mail.example --port 587
              webtun flow deny --app steam --user alice
              webtun flow ls
              webtun flow rm 3
            """,
        subcommands: [FlowAllow.self, FlowDeny.self, FlowLs.self, FlowRemove.self])
}

/// What a program or a user is named with.
struct OwnerArguments: ParsableArguments {
    @Option(
        name: .customLong("app"),
        help: ArgumentHelp("Only for a program: its name, or its path from / on.", valueName: "program"))
    var app: String?
    @Option(name: .customLong("user"), help: ArgumentHelp("Only for a user: name or number.", valueName: "user"))
    var user: String?

    var owner: RuleOwner {
        get throws { try RuleOwner(app: app, user: user) }
    }
}

/// A remote port, or a range of them.
struct PortRange: ExpressibleByArgument {
    let ports: ClosedRange<UInt16>

    init?(argument: String) {
        let parts = argument.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let numbers = parts.compactMap { part in
            part.utf8.allSatisfy { $0 &- 0x30 < 10 } ? UInt16(part) : nil
        }
        guard numbers.count == parts.count, let first = numbers.first, let last = numbers.last, first > 0, first <= last
        else { return nil }
        ports = first...last
    }
}

/// An IP protocol by name or number.
struct FlowProtocol: ExpressibleByArgument {
    /// Those that people name (IANA, Protocol Numbers).
    static let names: [(name: String, number: UInt8)] = [
        ("icmp", 1), ("igmp", 2), ("tcp", 6), ("udp", 17), ("dccp", 33), ("gre", 47), ("esp", 50), ("ah", 51),
        ("icmpv6", 58), ("sctp", 132), ("udplite", 136),
    ]

    let number: UInt8

    init?(argument: String) {
        if let known = FlowProtocol.names.first(where: { $0.name == argument.lowercased() }) {
            number = known.number
        } else if argument.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let value = UInt8(argument) {
            number = value
        } else {
            return nil
        }
    }

    /// The protocol's name, else its number.
    static func text(_ number: UInt8) -> String {
        names.first { $0.number == number }?.name ?? "\(number)"
    }
}
