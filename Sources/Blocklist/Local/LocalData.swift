import GRDB

/// What is answered here and what is asked elsewhere than the usual upstreams. A part of the policy's snapshot: immutable,
/// swapped whole; any thread.
public final class LocalData: Sendable {
    /// The user's records.
    public let records: LocalRecords
    /// What the names of search engines are answered with.
    public let safeSearch: SafeSearchTable
    public let forwards: ForwardTable

    init(
        records: LocalRecords = LocalRecords([]), safeSearch: SafeSearchTable = SafeSearchTable(),
        forwards: ForwardTable = ForwardTable([])
    ) {
        self.records = records
        self.safeSearch = safeSearch
        self.forwards = forwards
    }

    convenience init(_ db: Database) throws {
        try self.init(
            records: LocalRecords(BlocklistStore.records(db).map { ($0.name, $0.record) }),
            safeSearch: SafeSearchTable(BlocklistStore.safeSearchInForce(db)),
            forwards: ForwardTable(BlocklistStore.forwards(db).map(\.zone)))
    }
}
