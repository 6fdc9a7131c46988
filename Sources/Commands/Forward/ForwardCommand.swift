import ArgumentParser
import Blocklist
import Kernel

/// `webtun forward`
struct ForwardCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forward",
        abstract: "Ask other servers for some zones, such as a company's.",
        discussion: """
            Names of a zone, and all below it, are asked of its servers and of no other, whatever these answer; of zones that
            hold one another the longest counts. 'never' in place of servers: such names do not exist and are never asked for.
            A prefix stands for its reverse zones. Names of zones are judged by lists and rules like all others. A running
            webtun follows changes within a second.

            Examples:
              webtun forward add corp.example 192.0.2.9
              webtun forward add 192.0.2.0/24 192.0.2.9
              webtun forward add home.example never
              webtun forward ls
              webtun forward rm corp.example
            """,
        subcommands: [ForwardAdd.self, ForwardRemove.self, ForwardLs.self])
}

/// `webtun forward add`
struct ForwardAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Forward a zone to servers of its own, or nowhere.",
        discussion: """
            What was said of the zone before is replaced. The first server that answers is used.

            Examples:
              webtun forward add corp.example 192.0.2.9 192.0.2.10:5353
              webtun forward add corp.example '[2001:db8::53]:53' -m "through the tunnel"
              webtun forward add 10.0.0.0/8 192.0.2.9
              webtun forward add lan.example never
            """)

    @Argument(help: ArgumentHelp("A name, or a prefix for its reverse zones.", valueName: "zone"))
    var zone: String
    @Argument(
        help: ArgumentHelp(
            "Servers, as address, address:port or [address]:port; 'never' or '-': none.", valueName: "server"))
    var servers: [String]
    @Option(
        name: [.customShort("m"), .customLong("comment")],
        help: ArgumentHelp("Why the zone is forwarded.", valueName: "comment"))
    var comment = ""
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    private static let never = ["never", "-"]

    func validate() throws {
        if servers.isEmpty { throw ValidationError("Missing expected argument '<server> ...'") }
        if servers.count > 1, let word = servers.first(where: { ForwardAdd.never.contains($0) }) {
            throw ValidationError("'\(word)' stands alone")
        }
    }

    func run() throws {
        let addresses = try servers.filter { !ForwardAdd.never.contains($0) }.map { text in
            guard let address = SocketAddress(text, defaultPort: 53) else {
                throw CommandFailure("'\(text)' is not a server; write 192.0.2.9, 192.0.2.9:53 or [2001:db8::9]:53")
            }
            return address
        }
        let store = try BlocklistStore(state: global.stateDirectory)
        for forward in try store.setForward(zone, servers: addresses.isEmpty ? nil : addresses, comment: comment) {
            print(output.json ? ForwardLs.json(forward).description : ForwardLs.text(forward).printable)
        }
    }
}

/// `webtun forward rm`
struct ForwardRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Ask the usual servers for zones again.",
        discussion: """
            Examples:
              webtun forward rm corp.example
              webtun forward rm 192.0.2.0/24
            """)

    @Argument(help: ArgumentHelp("Zones, or prefixes for their reverse zones.", valueName: "zone"))
    var zones: [String]
    @OptionGroup var global: GlobalOptions

    func run() throws {
        for forward in try BlocklistStore(state: global.stateDirectory).removeForwards(zones) {
            print("removed \(ForwardLs.text(forward))".printable)
        }
    }
}

/// `webtun forward ls`
struct ForwardLs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Show the zones and their servers.",
        discussion: """
            Examples:
              webtun forward ls
              webtun forward ls --json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let forwards = try BlocklistStore(state: global.stateDirectory).forwards()
        output.list(
            forwards, none: "nothing is forwarded; 'webtun forward add ZONE SERVER' does",
            [
                .init("ZONE", elastic: true), .init("SERVERS", elastic: true), .init("ADDED"),
                .init("COMMENT", elastic: true),
            ],
            json: { ForwardLs.json($0) }
        ) { forward in
            [
                Table.Cell(forward.zone.name),
                forward.zone.isForwarded
                    ? Table.Cell(forward.zone.servers.map(\.description).joined(separator: " "))
                    : Table.Cell("never", .yellow),
                Table.Cell(Moment.text(forward.added)), Table.Cell(forward.comment),
            ]
        }
    }

    static func text(_ forward: StoredForward) -> String {
        let servers = forward.zone.servers.map(\.description).joined(separator: " ")
        return "\(forward.zone.name) \(forward.zone.isForwarded ? "to \(servers)" : "never")"
    }

    static func json(_ forward: StoredForward) -> JSONValue {
        .object([
            ("zone", .string(forward.zone.name)), ("forwarded", .bool(forward.zone.isForwarded)),
            ("servers", .array(forward.zone.servers.map { .string($0.description) })),
            ("comment", .string(forward.comment)), ("added", .optional(Moment.iso(forward.added))),
        ])
    }
}
