import GRDB
public import Wire

/// What `blocklist.db` has about groups, for `ProfilePlan`.
struct GroupInputs: Equatable, Sendable {
    var groups: [PolicyGroup] = [PolicyGroup(id: 0, name: PolicyGroup.standard, enabled: true, comment: "", added: 0)]
    var clients: [PolicyClient] = []
    var pauses: [PolicyPause] = []
    /// The groups of lists that are not in `default` alone, by the list's id.
    var lists: [Int32: GroupSet] = [:]

    /// No groups but `default`.
    init() {}

    init(_ db: Database) throws {
        groups = try BlocklistStore.groups(db)
        clients = try BlocklistStore.clients(db)
        pauses = try BlocklistStore.pauses(db)
        for row in try Row.fetchAll(db, sql: "SELECT id, groups FROM list WHERE groups <> 1") {
            lists[row["id"]] = GroupSet(stored: row["groups"])
        }
    }
}

/// Which addresses belong to which devices now, as the kernel's neighbour tables say.
public typealias Neighbours = [IPAddress: MACAddress]
