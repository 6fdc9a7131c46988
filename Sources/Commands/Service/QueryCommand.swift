import ArgumentParser
import Blocklist
import DNSProxy
import Daemon
import Kernel

/// `webtun query`
struct QueryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Ask through webtun and print the answer.",
        discussion: """
            Sends an ordinary query out of a captured link, as any application does.

            Examples:
              webtun query example.org
              webtun query example.org AAAA --tcp
              webtun query bücher.example MX --json
            """)

    @Argument(help: "The name to ask for.")
    var name: String
    @Argument(help: "The record type, like A, AAAA, MX or TYPE65.")
    var type: String = "A"
    @Flag(help: "Ask over TCP.")
    var tcp = false
    @Option(
        help: ArgumentHelp(
            "The server to address. webtun answers whichever it is.", discussion: "Default: the first upstream.",
            valueName: "server"))
    var server: String?
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let status = try ControlClient(state: global.stateDirectory).request(.status)
        guard let server = SocketAddress(server ?? status.upstreams.first ?? "", defaultPort: 53) else {
            throw CommandFailure(
                server.map { "'\($0)' is no address of a server" }
                    ?? "webtun has no upstream: name a server with --server")
        }
        if !status.filtering {
            throw CommandFailure(
                "webtun is not filtering: "
                    + (status.pausedUntil != nil ? "paused" : status.problems.joined(separator: "; ")),
                status: .notFiltering)
        }
        // Names beyond ASCII are asked for in their A-label form; what is left of them is ldns's to judge.
        let ascii = name.utf8.allSatisfy { $0 < 0x80 } ? name : try DomainName(name).text
        let query = try QueryMessage.compose(name: ascii, type: type, id: .random(in: 0...UInt16.max))
        let reply = try QueryClient(server: server).ask(query, isStream: tcp)
        guard let text = MessageText(reply.message, milliseconds: UInt32(reply.time / 1_000_000)) else {
            throw CommandFailure("\(server) sent an answer that cannot be read")
        }
        print(output.json ? json(text, reply, server) : plain(text, reply, server), terminator: "")
    }

    private func plain(_ text: MessageText, _ reply: QueryClient.Reply, _ server: SocketAddress) -> String {
        text.text + ";; SERVER: \(server) (\(reply.isStream ? "TCP" : "UDP"))\n"
    }

    private func json(_ text: MessageText, _ reply: QueryClient.Reply, _ server: SocketAddress) -> String {
        func records(_ records: [MessageText.Record]) -> JSONValue {
            .array(
                records.map {
                    .object([
                        ("name", .string($0.name)), ("ttl", .integer(Int64($0.ttl))), ("type", .string($0.type)),
                        ("data", .string($0.data)),
                    ])
                })
        }
        return JSONValue.object([
            ("qname", .string(name)), ("qtype", .string(type.uppercased())), ("rcode", .string(text.rcodeName)),
            ("flags", .array(text.flags.map(JSONValue.string))), ("answer", records(text.answer)),
            ("authority", records(text.authority)), ("additional", records(text.additional)),
            (
                "ede",
                .array(
                    text.extendedErrors.map {
                        .object([("code", .integer(Int64($0.code))), ("text", .string($0.text))])
                    })
            ),
            ("server", .string(server.description)), ("transport", .string(reply.isStream ? "tcp" : "udp")),
            ("latency_us", .integer(Int64(reply.time / 1000))),
        ]).description + "\n"
    }
}
