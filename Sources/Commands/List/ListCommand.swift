import ArgumentParser
import Blocklist
import Daemon
import Glibc

/// `webtun list`
struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Add, remove and inspect lists of names and of addresses.",
        discussion: """
            Every line of a list stands for its name and everything below it, or, in a list of addresses, for flows to its
            address or prefix (full mode). A running webtun follows changes within
            a second; without one they are in force at the next start.

            Examples:
              webtun list add ads.txt
              webtun list add work.txt --allow --name work
              webtun list ls
              webtun list update
            """,
        subcommands: [
            ListAdd.self, ListLs.self, ListShow.self, ListDiff.self, ListWhatif.self, ListUpdate.self, ListEnable.self,
            ListDisable.self, ListRemove.self,
        ])
}

/// What the commands that change lists have in common.
enum ListWork {
    /// Long work gives way to the answering of queries: this command's niceness grows by ten, once.
    private static let givingWay: CInt = nice(10)

    /// Runs `body` with a progress bar for a file or for the index.
    static func withProgress<T>(_ label: String, _ body: (@escaping ProgressHandler) throws -> T) rethrows -> T {
        _ = givingWay
        let bars = ProgressBars(label)
        defer { bars.finish() }
        return try body { progress in bars.update(progress) }
    }

    /// Brings the index up to the lists.
    static func compile(_ store: BlocklistStore) throws {
        do {
            _ = try withProgress("") { try store.compile(progress: $0) }
        } catch let error as BlocklistError {
            throw BlocklistError.indexNotMade("\(error)")
        }
    }

    /// What fetches lists; the configuration is looked at only when a source is an address.
    static func fetcher(_ sources: [String]) throws -> ListFetcher {
        sources.contains(where: ListURL.looksLike) ? try ListFetcher.ofThisMachine() : ListFetcher()
    }

    /// The refused lines of an import, `file:line: reason: text`, to standard error.
    static func complain(_ report: ImportReport, shown: Int = 10) {
        for refusal in report.refusals.prefix(shown) {
            Terminal.complain("\(report.source):\(refusal.line): \(refusal.reason): \(refusal.text)")
        }
        let rest = report.refused - min(shown, report.refusals.count)
        if rest > 0 {
            Terminal.complain(
                "\(report.source): \(Quantity.count(rest)) more refused; 'webtun list show \(report.name)' shows some")
        }
    }

    static func summary(_ report: ImportReport, _ verb: String) -> String {
        let noun = report.format == .ip ? ("address or prefix", "addresses and prefixes") : ("name", "names")
        var parts = ["\(Quantity.count(report.entries)) \(report.entries == 1 ? noun.0 : noun.1)"]
        if report.skipped > 0 { parts.append("\(Quantity.count(report.skipped)) passed over") }
        if report.refused > 0 { parts.append("\(Quantity.count(report.refused)) refused") }
        return "\(verb) '\(report.name.printable)' (\(report.format.rawValue)): \(parts.joined(separator: ", "))"
    }

    static func json(_ report: ImportReport) -> JSONValue {
        .object([
            ("list", .string(report.name)), ("id", .integer(Int64(report.list))), ("source", .string(report.source)),
            ("format", .string(report.format.rawValue)), ("lines", .integer(Int64(report.lines))),
            ("names", .integer(Int64(report.entries))), ("skipped", .integer(Int64(report.skipped))),
            ("refused", .integer(Int64(report.refused))),
            ("refusals", .array(report.refusals.map(json))),
        ])
    }

    static func json(_ refusal: Refusal) -> JSONValue {
        .object([
            ("line", .integer(Int64(refusal.line))), ("reason", .string(refusal.reason)),
            ("text", .string(refusal.text)),
        ])
    }
}

/// A bar for each phase of an import.
private final class ProgressBars {
    private let label: String
    private var bar: ProgressBar?
    private var phase: WorkProgress.Phase?

    init(_ label: String) {
        self.label = label
    }

    func update(_ progress: WorkProgress) {
        if phase != progress.phase {
            bar?.finish()
            phase = progress.phase
            bar =
                switch progress.phase {
                case .fetching: ProgressBar("fetching \(label)", total: nil, unit: .bytes)
                case .reading: ProgressBar("reading \(label)", total: progress.total, unit: .bytes)
                case .compiling: ProgressBar("building the index", total: progress.total, unit: .items("names"))
                case .comparing: ProgressBar("comparing \(label)", total: progress.total, unit: .items("names"))
                case .copying: ProgressBar(label, total: progress.total, unit: .items("rows"))
                }
        }
        bar?.update(progress.done, total: progress.total > 0 ? progress.total : nil)
    }

    func finish() {
        bar?.finish()
    }
}
