import Blocklist

/// The names of sets of groups, for the commands that show lists and rules.
struct GroupLabels {
    private let groups: [PolicyGroup]

    init(_ store: BlocklistStore) throws {
        groups = try store.groups()
    }

    /// The name of a group by its id.
    func name(_ id: Int) -> String { groups.first { $0.id == id }?.name ?? "\(id)" }

    func names(_ set: GroupSet) -> [String] {
        PolicyOverview.names(set, groups)
    }

    /// `default`, `kids, default`, or `all`.
    func text(_ set: GroupSet) -> String {
        set == .every ? "all" : names(set).joined(separator: ", ")
    }

    /// What to say of groups where most is in `default`: nil for those that go without saying.
    func remark(_ set: GroupSet) -> String? {
        set == .standard || set == .every ? nil : "group \(names(set).joined(separator: ","))"
    }

    func json(_ set: GroupSet) -> JSONValue {
        .array(names(set).map(JSONValue.string))
    }
}
