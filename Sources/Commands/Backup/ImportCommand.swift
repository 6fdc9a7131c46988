import ArgumentParser
import Blocklist
import Daemon
import Glibc
import Kernel

/// `webtun import`
struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Take in an export of webtun, a gravity.db of Pi-hole, or an AdGuardHome.yaml.",
        discussion: """
            Which of the three a file is, is seen from its first bytes. All of it is taken or nothing. An export goes into an
            empty blocklist; where there is something already, --merge adds what is missing and --replace puts the file in
            its place. Lists, rules and clients of Pi-hole and AdGuard Home are added to what is there; the lists are fetched
            by the running daemon, or at once with --update. What cannot be taken is told with its reason.

            Examples:
              webtun import webtun.backup
              webtun import webtun.backup --merge --dry-run
              webtun import webtun.backup --replace
              webtun import /etc/pihole/gravity.db --update
              webtun import AdGuardHome.yaml
            """)

    @Argument(help: ArgumentHelp("The file to read.", valueName: "file"), completion: .file())
    var file: String
    @Flag(name: .customLong("merge"), help: "Add what is not there yet; what is there stays as it is.")
    var merge = false
    @Flag(name: .customLong("replace"), help: "Put the file in the place of what is there.")
    var replace = false
    @Flag(name: .customLong("dry-run"), help: "Say what would be done, and do nothing.")
    var dryRun = false
    @Flag(name: .customLong("update"), help: "Fetch the lists of Pi-hole or AdGuard Home now.")
    var update = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if merge, replace { throw ValidationError("--merge and --replace exclude each other") }
    }

    func run() throws {
        let head = try head()
        let store = try BlocklistStore(state: global.stateDirectory)
        if GravityFile.looksLike(head) {
            try adopt(GravityFile.read(file), store)
        } else if head.starts(with: [0x1F, 0x8B]) {
            try restore(store)
        } else {
            try adopt(AdGuardFile.read(file), store)
        }
    }

    /// The file's first 64 bytes, as far as there are so many.
    private func head() throws -> [UInt8] {
        let number = unsafe open(file, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw CommandFailure("\(file): \(Errno.current())") }
        let descriptor = Descriptor(owning: number)
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe descriptor.read(into: $0) }
        guard count >= 0 else { throw CommandFailure("\(file): \(Errno(CInt(-count)))") }
        return Array(bytes.prefix(count))
    }

    private func restore(_ store: BlocklistStore) throws {
        if update { throw CommandFailure("--update goes with the files of Pi-hole and AdGuard Home") }
        let report = try ListWork.withProgress("reading \(file)") {
            try store.restore(
                from: file, replace ? .replace : merge ? .merge : .intoEmpty, dryRun: dryRun, progress: $0)
        }
        if !dryRun { try ListWork.compile(store) }
        if output.json {
            print(
                JSONValue.object([
                    ("file", .string(file)), ("origin", .string("webtun")), ("dry_run", .bool(dryRun)),
                    (
                        "tables",
                        .object(
                            report.tables.map {
                                (
                                    $0.name,
                                    .object([("added", .integer(Int64($0.added))), ("kept", .integer(Int64($0.kept)))])
                                )
                            })
                    ),
                ]))
            return
        }
        func words(_ count: KeyPath<RestoreReport.Table, Int>) -> String {
            report.tables.filter { $0[keyPath: count] > 0 }
                .map { "\(Quantity.count($0[keyPath: count])) of \($0.name)" }.joined(separator: ", ")
        }
        let (added, kept) = (words(\.added), words(\.kept))
        print("\(dryRun ? "would take in" : "took in") \(file.printable): \(added.isEmpty ? "nothing new" : added)")
        if !kept.isEmpty { print("already there: \(kept)") }
    }

    private func adopt(_ settings: ForeignSettings, _ store: BlocklistStore) throws {
        if replace { throw CommandFailure("--replace goes with an export of webtun; lists and rules are added") }
        let report = try store.adopt(settings, starter: Configuration().lists.starter, dryRun: dryRun)
        let notTaken = settings.left + report.left
        if output.json {
            print(json(settings, report))
        } else {
            for left in notTaken {
                Terminal.complain("\(file):\(left.place): not taken: \(left.text): \(left.reason)")
            }
            print(
                "\(dryRun ? "would take in" : "took in") \(file.printable) of \(settings.origin): "
                    + "\(report.listsAdded.count) lists, \(Quantity.count(report.rulesAdded)) rules"
                    + (report.othersAdded > 0 ? ", \(report.othersAdded) groups, clients and records" : "")
                    + (report.enginesAdded > 0 ? ", safe search of \(report.enginesAdded) engines" : "")
                    + (report.listsKept.count + report.rulesKept > 0
                        ? "; already there: \(report.listsKept.count) lists, \(Quantity.count(report.rulesKept)) rules"
                        : "")
                    + (notTaken.isEmpty ? "" : "; not taken: \(notTaken.count)"))
            if !report.listsAdded.isEmpty, !update, !dryRun {
                print("the lists are fetched by the running webtun, or now with: webtun list update")
            }
        }
        guard !dryRun else { return }
        var failed = false
        if update {
            let fetcher = try ListWork.fetcher(settings.lists.map(\.source))
            for name in report.listsAdded {
                do {
                    let result = try ListWork.withProgress(name) {
                        try store.update(name, fetcher: fetcher, progress: $0)
                    }
                    if case .updated(let report) = result, !output.json { print(ListWork.summary(report, "fetched")) }
                } catch let error as BlocklistError {
                    guard case .listRefused = error else { throw error }
                    failed = true
                    Terminal.complain("webtun: list '\(name)': \(error)")
                }
            }
        }
        try ListWork.compile(store)
        if failed { throw ExitStatus.error.exit }
    }

    private func json(_ settings: ForeignSettings, _ report: AdoptReport) -> JSONValue {
        .object([
            ("file", .string(file)), ("origin", .string(settings.origin)), ("dry_run", .bool(dryRun)),
            ("lists_added", .array(report.listsAdded.map(JSONValue.string))),
            ("lists_kept", .array(report.listsKept.map(JSONValue.string))),
            ("rules_added", .integer(Int64(report.rulesAdded))), ("rules_kept", .integer(Int64(report.rulesKept))),
            ("others_added", .integer(Int64(report.othersAdded))), ("others_kept", .integer(Int64(report.othersKept))),
            ("engines_added", .integer(Int64(report.enginesAdded))),
            ("engines_kept", .integer(Int64(report.enginesKept))),
            (
                "not_taken",
                .array(
                    (settings.left + report.left).map {
                        .object([
                            ("place", .string($0.place)), ("text", .string($0.text)), ("reason", .string($0.reason)),
                        ])
                    })
            ),
        ])
    }
}
