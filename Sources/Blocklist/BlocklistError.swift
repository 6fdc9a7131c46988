/// What can go wrong with lists, rules, their database and the compiled index. The description is one line for people:
/// what, where, why.
public enum BlocklistError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A call to the kernel failed: what was tried, and the kernel's reason.
    case system(String, String)
    /// SQLite refused: the database's path and its reason.
    case database(String, String)
    /// Another program holds the database's write lock.
    case locked(String)
    /// The database was written by a newer webtun.
    case newerSchema(String)
    case indexMissing(String)
    /// The lists changed after the index was made: path, the index's generation, the database's.
    case indexStale(String, UInt64, UInt64)
    case indexCorrupt(String, String)
    /// The lists were changed, and the index of them could not be made: the reason.
    case indexNotMade(String)
    /// A name in the database that no import writes: list id, line, reason.
    case badEntry(Int32, Int32, String)
    /// The lists hold more than the index format can carry.
    case tooLarge(String)
    /// A name given by the user: the text and the reason.
    case badName(String, String)
    /// An address or prefix given by the user: the text and the reason.
    case badPrefix(String, String)
    /// A record given by the user or by a list: the text and the reason.
    case badRecord(String, String)
    /// A regular expression: the text, the place (bytes from 0) and the reason.
    case badPattern(String, Int, String)
    /// A list that cannot be taken as a whole: its path and the reason.
    case listRefused(String, String)
    case noSuchList(String)
    case listExists(String)
    case noSuchRule(String)
    case noSuchFlowRule(String)
    case noSuchGroup(String)
    case groupExists(String)
    /// The group and what refers to it.
    case groupInUse(String, String)
    case noSuchClient(String)
    case noSuchRecord(String)
    case noSuchForward(String)
    /// An argument that makes no sense: the reason.
    case badArgument(String)

    public var description: String {
        switch self {
        case .system(let action, let reason): "\(action): \(reason)"
        case .database(let path, let reason): "\(path): \(reason)"
        case .locked(let path): "\(path) is locked by another program; try again when it has finished"
        case .newerSchema(let path):
            "\(path) was written by a newer version of webtun; this one cannot change it safely"
        case .indexMissing(let path): "\(path) does not exist yet"
        case .indexStale(let path, let has, let wanted): "\(path) is of generation \(has), the lists are at \(wanted)"
        case .indexCorrupt(let path, let reason): "\(path): \(reason)"
        case .indexNotMade(let reason):
            "\(reason); the change is kept, and comes into force when the index can be made: by a running webtun, or by "
                + "'webtun list update'"
        case .badEntry(let list, let line, let reason): "blocklist.db, list \(list), line \(line): \(reason)"
        case .tooLarge(let reason): reason
        case .badName(let text, let reason), .badPrefix(let text, let reason), .badRecord(let text, let reason):
            "'\(text)': \(reason)"
        case .badPattern(let pattern, let place, let reason): "/\(pattern)/, character \(place + 1): \(reason)"
        case .listRefused(let path, let reason): "\(path): \(reason)"
        case .noSuchList(let name): "no list is called '\(name)'; 'webtun list ls' shows them"
        case .listExists(let name):
            "there is already a list called '\(name)'; give another --name, or use 'list update'"
        case .noSuchRule(let text): "no such rule: \(text); 'webtun rule ls' shows them"
        case .noSuchFlowRule(let text): "no such flow rule: \(text); 'webtun flow ls' shows them"
        case .noSuchGroup(let name): "no group is called '\(name)'; 'webtun group ls' shows them"
        case .groupExists(let name): "there is already a group called '\(name)'"
        case .groupInUse(let name, let users): "the group '\(name)' is still used by \(users)"
        case .noSuchClient(let name): "'\(name)' is not assigned to groups; 'webtun client ls' shows who is"
        case .noSuchRecord(let text): "no such record: \(text); 'webtun record ls' shows them"
        case .noSuchForward(let text): "\(text) is not forwarded; 'webtun forward ls' shows what is"
        case .badArgument(let reason): reason
        }
    }
}
