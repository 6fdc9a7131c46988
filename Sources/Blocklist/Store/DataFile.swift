import GRDB
import Glibc
import Kernel

/// A kind of data file that comes with the starter lists. Its entries fill a table of their own, all of a file or none of
/// it, and the database keeps which file they were read from, and when.
protocol DataFile {
    associatedtype Entry: Equatable
    /// What the file is called among the starter lists.
    static var name: String { get }
    static var table: String { get }
    /// The table's columns but for `id`, in the order of `values`.
    static var columns: [String] { get }
    /// A query for the columns `path` and `read`; no row, or NULL: none was read.
    static var originQuery: String { get }
    /// A statement that notes the path ?1 and the time ?2.
    static var originNote: String { get }

    /// - Throws: `BlocklistError.listRefused` with the line of the first fault.
    static func parse(_ text: String, path: String) throws(BlocklistError) -> [Entry]
    /// nil for what some other program wrote into the database.
    static func entry(_ row: Row) -> Entry?
    static func values(_ entry: Entry) -> [(any DatabaseValueConvertible)?]
}

/// Where data was read from.
struct DataOrigin {
    /// nil when none was read.
    var path: String?
    /// Microseconds since 1970, UTC.
    var read: Int64?
}

/// A line of a data file that is not empty: a word that says what follows, and values; `#` begins a comment.
struct DataLine {
    private let path: String
    /// From 1.
    let number: Int32
    let keyword: String
    let values: [String]

    /// Longest file that is read, in bytes.
    static let longestFile = 4 << 20

    static func split(_ text: String, path: String) -> [DataLine] {
        text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap { index, line in
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace).map(String.init)
            guard let keyword = words.first else { return nil }
            return DataLine(
                path: path, number: Int32(clamping: index + 1), keyword: keyword, values: Array(words.dropFirst()))
        }
    }

    /// The name and the page of a line that begins what belongs together.
    func title() throws(BlocklistError) -> (name: String, source: String) {
        guard values.count == 2 else { throw refused("'\(keyword)' takes a name and an address of a page") }
        return (values[0], values[1])
    }

    func refused(_ reason: String) -> BlocklistError { .listRefused(path, "line \(number): \(reason)") }
}

extension BlocklistStore {
    static func data<File: DataFile>(_ db: Database, _ file: File.Type) throws -> [File.Entry] {
        try Row.fetchAll(db, sql: "SELECT * FROM \(file.table) ORDER BY id").compactMap(file.entry)
    }

    static func origin(_ db: Database, _ file: any DataFile.Type) throws -> DataOrigin {
        let row = try Row.fetchOne(db, sql: file.originQuery)
        return DataOrigin(path: row?["path"], read: row?["read"])
    }

    /// Puts what a file holds in the place of what was read before. Only data that differs makes a new policy.
    static func put<File: DataFile>(
        _ db: Database, _ file: File.Type, _ entries: [File.Entry], from path: String
    ) throws {
        if try data(db, file) != entries {
            try db.execute(sql: "DELETE FROM \(file.table)")
            let places = file.columns.map { _ in "?" }.joined(separator: ", ")
            let sql = "INSERT INTO \(file.table) (\(file.columns.joined(separator: ", "))) VALUES (\(places))"
            for entry in entries { try db.execute(sql: sql, arguments: StatementArguments(file.values(entry))) }
            try db.execute(sql: "UPDATE state SET rules = rules + 1")
        }
        try db.execute(sql: file.originNote, arguments: [absolute(path), now()])
    }

    /// Reads a file in place of what was read before; all of it or nothing.
    ///
    /// - Returns: how many entries it has.
    @discardableResult
    func load<File: DataFile>(_ file: File.Type, _ path: String) throws -> Int {
        let entries = try file.parse(BlocklistStore.text(path), path: path)
        try write { db in try BlocklistStore.put(db, file, entries, from: path) }
        return entries.count
    }

    /// Reads the file given or, when nothing was ever read, that of the starter lists' directory, if it is there.
    func load<File: DataFile>(_ file: File.Type, _ path: String?, orStarter directory: String) throws {
        if let path {
            try load(file, path)
        } else if let found = try missing(file, directory) {
            try write { db in try BlocklistStore.put(db, file, found.entries, from: found.path) }
        }
    }

    /// What the starter lists' directory has, when nothing was ever read; nil when something was, or there is no such file.
    func missing<File: DataFile>(
        _ file: File.Type, _ directory: String
    ) throws -> (entries: [File.Entry], path: String)? {
        let path = directory + "/" + file.name
        guard try read({ try BlocklistStore.data($0, file) }).isEmpty, unsafe access(path, F_OK) == 0 else {
            return nil
        }
        return (try file.parse(BlocklistStore.text(path), path: path), path)
    }

    /// Reads the data of the starter lists' directory, unless the user gave other.
    func followStarter(_ file: any DataFile.Type, _ directory: String) throws {
        let path = directory + "/" + file.name
        guard unsafe access(path, F_OK) == 0 else { return }
        let source = try read { try BlocklistStore.origin($0, file).path }
        if source == nil || source == BlocklistStore.absolute(path) { try load(file, path) }
    }

    /// The text of a small file.
    private static func text(_ path: String) throws(BlocklistError) -> String {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw .listRefused(path, "\(Errno.current())") }
        let file = Descriptor(owning: number)
        var bytes = [UInt8](repeating: 0, count: DataLine.longestFile + 1)
        var count = 0
        while count < bytes.count {
            let got = unsafe bytes.withUnsafeMutableBytes { room in
                unsafe file.read(into: UnsafeMutableRawBufferPointer(rebasing: room[count...]))
            }
            if got == -Int(EINTR) { continue }
            guard got >= 0 else { throw .listRefused(path, "\(Errno(CInt(-got)))") }
            if got == 0 { break }
            count += got
        }
        guard count <= DataLine.longestFile else {
            throw .listRefused(path, "longer than \(DataLine.longestFile) bytes")
        }
        guard let text = String(validating: bytes[..<count], as: UTF8.self) else {
            throw .listRefused(path, "not valid UTF-8")
        }
        return text
    }
}
