/// What can go wrong with `querylog.db`, said for people.
public enum QueryLogError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is no such file.
    case missing(path: String)
    /// The file was written by a newer webtun; `migration` is the first step this one does not know.
    case newer(path: String, migration: String)
    /// The file is a SQLite database, but not a query log.
    case foreign(path: String)
    /// SQLite refused: what was tried, SQLite's extended result code and its message.
    case sqlite(action: String, code: Int32, message: String)
    /// An argument that cannot be used, and why.
    case argument(String)

    public var description: String {
        switch self {
        case .missing(let path):
            "no query log at \(path): it is written by `webtun run`; name another state directory with --state"
        case .newer(let path, let migration):
            "\(path) was written by a newer webtun (its step \"\(migration)\" is unknown here): "
                + "update webtun, or move the file away to start a new log"
        case .foreign(let path):
            "\(path) is a SQLite database but not a query log: move it away or name another state directory"
        case .sqlite(let action, _, let message):
            "\(action): \(message)"
        case .argument(let reason):
            reason
        }
    }

    /// SQLite's primary result code (the low byte of the extended one); 0 for other errors.
    var primaryCode: Int32 {
        if case .sqlite(_, let code, _) = self { code & 0xff } else { 0 }
    }
}
