import ArgumentParser
import Blocklist

/// `webtun client`
struct ClientCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "Assign clients, users and programs to groups.",
        discussion: """
            A client is an address or prefix, or the MAC address of a device on a served link; the longest prefix that holds
            an address decides, a device comes before a prefix, an address itself before the device that has it. A
            program or user comes before the address, a program before a user. For whoever is assigned the named groups hold and
            no others.

            Examples:
              webtun client add 192.0.2.7 --group kids
              webtun client add 2001:db8:0:1::/64 02:00:00:00:00:07 --group kids --group default
              webtun client add --user alice --group work
              webtun client ls
              webtun client rm 192.0.2.7
            """,
        subcommands: [ClientAdd.self, ClientRemove.self, ClientLs.self])
}

/// Who is meant.
struct SubjectArguments: ParsableArguments {
    @Argument(help: ArgumentHelp("Addresses, prefixes and MAC addresses.", valueName: "client"))
    var clients: [String] = []
    @Option(name: .customLong("user"), help: ArgumentHelp("A user: name or number.", valueName: "user"))
    var users: [String] = []
    @Option(
        name: .customLong("app"),
        help: ArgumentHelp("A program: its name, or its path from / on.", valueName: "program"))
    var apps: [String] = []

    func validate() throws {
        guard !clients.isEmpty || !users.isEmpty || !apps.isEmpty else {
            throw ValidationError("name a client, or a --user or an --app")
        }
    }

    var subjects: [PolicySubject] {
        get throws {
            try clients.map { try PolicySubject(client: $0) } + users.map { try PolicySubject(user: $0) }
                + apps.map { try PolicySubject(app: $0) }
        }
    }
}

/// `webtun client add`
struct ClientAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Assign clients, users or programs to groups: to these and no others.",
        discussion: """
            Whoever was assigned before is assigned anew.

            Examples:
              webtun client add 192.0.2.7 --group kids
              webtun client add 02:00:00:00:00:07 --group kids --group default -m "the tablet"
              webtun client add --user alice --app steam --group games
            """)

    @OptionGroup var subjects: SubjectArguments
    @OptionGroup var groups: GroupArguments
    @Option(
        name: [.customShort("m"), .customLong("comment")], help: ArgumentHelp("Who it is.", valueName: "comment"))
    var comment = ""
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard !groups.groups.isEmpty else { throw ValidationError("name a group with --group") }
    }

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let clients = try store.setClients(subjects.subjects, groups: groups.groups, comment: comment)
        let overview = try store.overview()
        for client in clients {
            let names = overview.names(client.groups).joined(separator: ", ")
            print(
                output.json
                    ? ClientLs.json(client, overview).description
                    : "\(client.subject.kind) \(client.subject.text): in \(names)".printable)
        }
    }
}

/// `webtun client rm`
struct ClientRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Take clients, users or programs out of their groups.",
        discussion: """
            Then 'default' holds for them, or the groups of a shorter prefix.

            Examples:
              webtun client rm 192.0.2.7
              webtun client rm --user alice
            """)

    @OptionGroup var subjects: SubjectArguments
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let all = try subjects.subjects
        try BlocklistStore(state: global.stateDirectory).removeClients(all)
        for subject in all { print("removed \(subject.kind) \(subject.text)".printable) }
    }
}

/// `webtun client ls`
struct ClientLs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Show who is assigned to groups.",
        discussion: """
            Examples:
              webtun client ls
              webtun client ls --json | jq -r 'select(.groups | index("kids")) | .client'
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let overview = try BlocklistStore(state: global.stateDirectory).overview()
        output.list(
            overview.clients, none: "nobody is assigned to groups; 'webtun client add' does that",
            [
                .init("KIND"), .init("CLIENT", elastic: true), .init("GROUPS", elastic: true), .init("PAUSED"),
                .init("ADDED"), .init("COMMENT", elastic: true),
            ],
            json: { ClientLs.json($0, overview) }
        ) { client in
            let pause = overview.pauses.first { $0.scope == .subject(client.subject) }
            return [
                Table.Cell(client.subject.kind), Table.Cell(client.subject.text),
                Table.Cell(overview.names(client.groups).joined(separator: ", ")),
                Table.Cell(pause.map { "until \($0.until.map(Moment.text) ?? "resumed")" } ?? "", .yellow),
                Table.Cell(Moment.text(client.added)), Table.Cell(client.comment),
            ]
        }
    }

    static func json(_ client: PolicyClient, _ overview: PolicyOverview) -> JSONValue {
        let pause = overview.pauses.first { $0.scope == .subject(client.subject) }
        var uid: UInt32?
        if case .user(_, let number) = client.subject { uid = number }
        return .object([
            ("client", .string(client.subject.text)), ("kind", .string(client.subject.kind)), ("uid", .optional(uid)),
            ("groups", .array(overview.names(client.groups).map(JSONValue.string))), ("paused", .bool(pause != nil)),
            ("paused_until", .optional(Moment.iso(pause?.until))), ("comment", .string(client.comment)),
            ("added", .optional(Moment.iso(client.added))),
        ])
    }
}
