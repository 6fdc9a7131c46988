import ArgumentParser
import Blocklist
import Wire

/// `webtun record`
struct RecordCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record",
        abstract: "Answer names from records of your own.",
        discussion: """
            A name that has records is answered from them alone, before any list or rule: a type it has no record of is
            answered as not there. Names below it are not affected, unless a record is for '*.name'. A CNAME's target is
            looked up. A running webtun follows changes within a second.

            Examples:
              webtun record add nas.lan 192.0.2.9 --ptr
              webtun record add '*.lab.example' 192.0.2.20
              webtun record add www.lan CNAME nas.lan
              webtun record ls
              webtun record rm nas.lan
            """,
        subcommands: [RecordAdd.self, RecordRemove.self, RecordLs.self])
}

/// The words behind a name: addresses, or a type and data.
struct RecordWords {
    var type: RecordType?
    /// In presentation form; each a record of its own. Empty: whatever data.
    var data: [String]

    /// - Throws: `BlocklistError.badRecord` for a word that is neither address nor type.
    init(_ words: [String]) throws {
        let addresses = words.compactMap { IPAddress($0) }
        if !words.isEmpty, addresses.count == words.count {
            // Types may differ from one address to the next.
            data = words
            return
        }
        guard let first = words.first else {
            data = []
            return
        }
        guard let type = RecordType(first) else {
            throw BlocklistError.badRecord(
                first, "neither an address nor a record type; write an address, or a type such as MX and its data")
        }
        self.type = type
        let rest = Array(words.dropFirst())
        data = rest.isEmpty ? [] : [RecordWords.text(type, rest)]
    }

    /// A record's type, from its data when that is an address.
    func type(of data: String) -> String {
        if let type { return type.description }
        return IPAddress(data)?.isIPv6 == true ? "AAAA" : "A"
    }

    /// One text from the words of a command line. Of a TXT record each word is a string, since a shell takes its quotation
    /// marks away; one of more than 255 bytes becomes several (RFC 1035 section 3.3.14).
    private static func text(_ type: RecordType, _ words: [String]) -> String {
        let isText = type == RecordType(16) || type == RecordType(99)
        guard isText, words.first != "\\#" else {
            // IDNs are written as A-labels where the data is a name and nothing else.
            if words.count == 1, !words[0].utf8.allSatisfy({ $0 < 0x80 }), let name = try? DomainName(words[0]) {
                return name.text
            }
            return words.joined(separator: " ")
        }
        return words.flatMap { word -> [String] in
            if word.hasPrefix("\"") { return [word] }
            let bytes = Array(word.utf8)
            let parts = stride(from: 0, to: max(bytes.count, 1), by: 255).map {
                Array(bytes[$0..<min($0 + 255, bytes.count)])
            }
            return parts.map { part in "\"" + part.map(escape).joined() + "\"" }
        }.joined(separator: " ")
    }

    private static func escape(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): return "\\" + String(UnicodeScalar(byte))
        case 0x20...0x7e: return String(UnicodeScalar(byte))
        default:
            let digits = String(byte)
            return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
        }
    }
}

/// `webtun record rm`
struct RecordRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove the records of a name: all, those of a type, or one.",
        discussion: """
            Examples:
              webtun record rm nas.lan
              webtun record rm nas.lan 192.0.2.9
              webtun record rm lan.example MX
              webtun record rm lan.example MX 10 mail.lan.example
            """)

    @Argument(help: ArgumentHelp("The name, or '*.name'.", valueName: "name"))
    var name: String
    @Argument(help: ArgumentHelp("Addresses, or a type and perhaps its data.", valueName: "data"))
    var words: [String] = []
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let wanted = try RecordWords(words)
        let store = try BlocklistStore(state: global.stateDirectory)
        var removed: [StoredRecord] = []
        if wanted.data.isEmpty {
            removed = try store.removeRecords(name, type: wanted.type)
        } else {
            for data in wanted.data {
                removed += try store.removeRecords(name, type: RecordType(wanted.type(of: data)), data: data)
            }
        }
        for record in removed { print("removed \(RecordLs.text(record))".printable) }
    }
}
