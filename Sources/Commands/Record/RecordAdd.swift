import ArgumentParser
import Blocklist
import Wire

/// `webtun record add`
struct RecordAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add a record of a name.",
        discussion: """
            Behind the name stand addresses, or a type and its data as a zone file has it: A, AAAA, CNAME, MX, TXT, SRV, PTR,
            HTTPS, SVCB, CAA and all others that ldns reads, or TYPE and a number. Names in the data are absolute. A record that
            is there already gets the TTL given.

            Examples:
              webtun record add nas.lan 192.0.2.9 2001:db8::9 --ptr
              webtun record add '*.lab.example' A 192.0.2.20 --ttl 60
              webtun record add www.lan CNAME nas.lan
              webtun record add lan.example MX 10 mail.lan.example
              webtun record add lan.example TXT 'v=spf1 -all'
              webtun record add _sip._tcp.lan.example SRV 0 5 5060 sip.lan.example
              webtun record add web.lan.example HTTPS 1 . alpn=h2 ipv4hint=192.0.2.9
            """)

    @Argument(help: ArgumentHelp("The name, or '*.name' for every name below it.", valueName: "name"))
    var name: String
    @Argument(help: ArgumentHelp("Addresses, or a type and its data.", valueName: "data"))
    var words: [String]
    @Option(name: .customLong("ttl"), help: ArgumentHelp("Seconds that the answer may be kept.", valueName: "seconds"))
    var ttl: UInt32 = 300
    @Flag(name: .customLong("ptr"), help: "Add the PTR record of each address as well.")
    var addsPointer = false
    @Option(
        name: [.customShort("m"), .customLong("comment")],
        help: ArgumentHelp("Why the record is there.", valueName: "comment"))
    var comment = ""
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if addsPointer, name.hasPrefix("*.") { throw ValidationError("--ptr goes with one name, not with a wildcard") }
        if words.isEmpty { throw ValidationError("Missing expected argument '<data> ...'") }
    }

    func run() throws {
        let wanted = try RecordWords(words)
        // Names and types are complained of in the order in which they stand.
        let owner = name.hasPrefix("*.") ? String(name.dropFirst(2)) : name
        let stored = try DomainName(owner).text
        var requests: [BlocklistStore.RecordRequest] = []
        for data in wanted.data.isEmpty ? [""] : wanted.data {
            let record = try RecordText.parse(type: wanted.type(of: data), data: data, ttl: ttl)
            requests.append(BlocklistStore.RecordRequest(name, record, comment: comment))
            guard addsPointer else { continue }
            guard let address = IPAddress(record.text), record.type == .a || record.type == .aaaa else {
                throw CommandFailure("--ptr goes with addresses, not with \(record.type)")
            }
            requests.append(
                BlocklistStore.RecordRequest(
                    ReverseName.name(of: address), try RecordText.parse(type: "PTR", data: stored, ttl: ttl),
                    comment: comment))
        }
        for record in try BlocklistStore(state: global.stateDirectory).addRecords(requests) {
            print(output.json ? RecordLs.json(record).description : RecordLs.text(record).printable)
        }
    }
}
