/// A list that is tried without being added: read into a store of its own among the temporary files, which goes with the
/// value. One thread.
public final class ListTrial {
    public let report: ImportReport
    private let directory: ScratchDirectory
    private let policy: PolicySnapshot

    /// Reads or fetches the list and compiles it.
    ///
    /// - Throws: `BlocklistError`, as `BlocklistStore.add`.
    public init(
        _ source: String, _ options: BlocklistStore.ListOptions, fetcher: ListFetcher,
        progress: @escaping ProgressHandler = { _ in }
    ) throws {
        directory = try ScratchDirectory()
        let store = try BlocklistStore(state: directory.path)
        report = try store.add(source, options, fetcher: fetcher, progress: progress)
        policy = try store.snapshot(progress: progress)
    }

    /// What the list alone says of a name; of what is no name, nothing.
    public func action(_ name: String) -> Verdict.Action {
        guard let name = try? DomainName(name) else { return .forward }
        return unsafe policy.verdict(for: name.wire.span.bytes).action
    }
}
