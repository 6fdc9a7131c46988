import ArgumentParser
import Blocklist
import Glibc

/// `webtun export`
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write all lists, rules and settings of the blocklist into one file.",
        discussion: """
            The names of the lists are in it too, so that 'webtun import' needs no network. It is a gzip file of lines of
            JSON with a version and a checksum; 'zcat' shows it. The query log is not in it: 'webtun db backup' copies that.

            Examples:
              webtun export webtun.backup
              webtun export - | ssh backup.example 'cat > webtun.backup'
            """)

    @Argument(help: ArgumentHelp("The file to write; -: standard output.", valueName: "file"), completion: .file())
    var file: String
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard !file.isEmpty else { throw ValidationError("the file needs a name") }
        guard file != "-" || !Terminal.isTerminal(STDOUT_FILENO) else {
            throw ValidationError("standard output is a terminal: name a file, or send it on with | or >")
        }
    }

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let report = try ListWork.withProgress("writing \(file)") { try store.export(to: file, progress: $0) }
        guard file != "-" else { return }
        if output.json {
            print(
                JSONValue.object([
                    ("file", .string(report.path)), ("bytes", .integer(report.bytes)),
                    ("sha256", .string(report.sha256)),
                    ("tables", .object(report.rows.map { ($0.table, .integer(Int64($0.count))) })),
                ]))
        } else {
            let rows = report.rows.map { "\(Quantity.count($0.count)) of \($0.table)" }.joined(separator: ", ")
            print("wrote \(report.path.printable), \(Quantity.bytes(report.bytes)): \(rows)")
        }
    }
}
