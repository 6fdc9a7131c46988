public import ArgumentParser
import QueryLog
import Wire

/// Which rows of the log: the options of `log`.
public struct LogFilterOptions: ParsableArguments {
    @Flag(name: .customLong("blocked"), help: "Only blocked queries.")
    public var blocked = false
    @Flag(name: .customLong("allowed"), help: "Only queries that were not blocked.")
    public var allowed = false
    @Option(
        name: .customLong("verdict"),
        help: ArgumentHelp("Only this verdict: block, allow or forward.", valueName: "verdict"),
        completion: .list(["block", "allow", "forward"]))
    public var verdict: String?
    @Option(
        name: .customLong("name"), help: ArgumentHelp("Only names that match: * ? [a-z].", valueName: "glob"))
    public var name: String?
    @Option(
        name: .customLong("client"),
        help: ArgumentHelp("Only this client, or those of a prefix like 192.0.2.0/24.", valueName: "address"))
    public var client: String?
    @Option(
        name: .customLong("app"), help: ArgumentHelp("Only programs that match: * ? [a-z].", valueName: "glob"))
    public var app: String?
    @Option(
        name: .customLong("type"), help: ArgumentHelp("Only this query type: A, HTTPS, TYPE65…", valueName: "type"))
    public var type: String?
    @Option(
        name: .customLong("list"), help: ArgumentHelp("Only what this list decided.", valueName: "list"))
    public var list: String?
    @Option(
        name: .customLong("rcode"),
        help: ArgumentHelp("Only this response code; none: without an answer.", valueName: "rcode"))
    public var rcode: String?
    @Option(
        name: .customLong("upstream"),
        help: ArgumentHelp("Only answers of this server, as address or address:port.", valueName: "server"))
    public var upstream: String?
    @OptionGroup var times: TimeOptions

    public init() {}

    public func validate() throws {
        if [blocked, allowed, verdict != nil].count(where: { $0 }) > 1 {
            throw ValidationError("--blocked, --allowed and --verdict exclude each other")
        }
        _ = try filter()
    }

    /// - Throws: `ValidationError` for what cannot be read.
    func filter() throws -> LogFilter {
        var filter = LogFilter(since: times.since?.microseconds, until: times.until?.microseconds)
        filter.verdicts = blocked ? .blocked : allowed ? .allowed : nil
        if let verdict {
            switch verdict {
            case "block": filter.verdicts = .blocked
            case "allow": filter.verdicts = .passed
            case "forward": filter.verdicts = .forwarded
            default: throw ValidationError("--verdict takes block, allow or forward, not \(quoted(verdict))")
            }
        }
        filter.name = try pattern("--name", name)
        filter.app = try pattern("--app", app)
        if let client {
            guard let match = ClientMatch(client) else {
                throw ValidationError(
                    "--client takes an address or a prefix like 192.0.2.0/24 without bits behind it, not "
                        + quoted(client))
            }
            filter.client = match
        }
        if let type {
            guard let qtype = RecordType(type) else {
                throw ValidationError("--type takes a query type like A or TYPE65, not \(quoted(type))")
            }
            filter.qtype = qtype
        }
        if let list {
            if list.isEmpty { throw ValidationError("--list takes the name of a list") }
            filter.list = list
        }
        if let rcode { filter.rcode = try responseCode(rcode) }
        if let upstream { filter.upstream = try server(upstream) }
        return filter
    }

    private func pattern(_ option: String, _ glob: String?) throws -> String? {
        guard let glob else { return nil }
        if glob.isEmpty { throw ValidationError("\(option) takes a pattern like '*.example'") }
        // GLOB matches nothing with a set that is not closed, and says nothing.
        var rest = Substring(glob)
        while let open = rest.firstIndex(of: "[") {
            rest = rest[rest.index(after: open)...]
            if rest.first == "^" { rest = rest.dropFirst() }
            guard let close = rest.dropFirst().firstIndex(of: "]") else {
                throw ValidationError("\(option): a [ without its ] in \(quoted(glob))")
            }
            rest = rest[rest.index(after: close)...]
        }
        return glob
    }

    private func responseCode(_ text: String) throws -> String {
        let upper = text.uppercased()
        if upper == "NONE" { return "none" }
        let known = (0..<4096).lazy.map { RCode(UInt16($0)).description }
        if let number = UInt16(text), number < 4096 { return RCode(number).description }
        guard known.contains(upper) else {
            throw ValidationError("--rcode takes a response code like NXDOMAIN, or none, not \(quoted(text))")
        }
        return upper
    }

    /// As the view has it: without the port when that is 53.
    private func server(_ text: String) throws -> String {
        let bare = text.hasSuffix(":53") && !text.hasPrefix("[") ? String(text.dropLast(3)) : text
        if let address = IPAddress(bare) { return address.description }
        guard let separator = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: separator)...]) else {
            throw ValidationError("--upstream takes an address or address:port, not \(quoted(text))")
        }
        var host = text[..<separator]
        if host.first == "[", host.last == "]" { host = host.dropFirst().dropLast() }
        guard let address = IPAddress(String(host)) else {
            throw ValidationError("--upstream takes an address or address:port, not \(quoted(text))")
        }
        if port == 53 { return address.description }
        return address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }

    private func quoted(_ text: String) -> String { "\"\(text.printable)\"" }
}
