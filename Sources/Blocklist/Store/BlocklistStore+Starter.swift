import GRDB
import Glibc
import Kernel

extension BlocklistStore {
    /// What became of a starter list.
    public enum StarterResult: Sendable {
        case loaded(ImportReport)
        case failed(file: String, BlocklistError)
    }

    /// Loads the lists of a directory (files `*.txt`, `*.hosts`, `*.domains`) that were never loaded before: a list
    /// that was removed does not come back. Call `compile` afterwards, as `snapshot` does.
    ///
    /// - Returns: what became of each new file, in the order of their names.
    /// - Throws: `BlocklistError` when the directory cannot be read, or the database fails.
    public func loadStarterLists(
        _ directory: String, progress: ProgressHandler = { _ in }
    ) throws -> [StarterResult] {
        var results: [StarterResult] = []
        let dataFiles: [any DataFile.Type] = [ResolverFile.self, SafeSearchFile.self]
        for file in dataFiles {
            do {
                try followStarter(file, directory)
            } catch let error as BlocklistError {
                guard case .listRefused = error else { throw error }
                results.append(.failed(file: directory + "/" + file.name, error))
            }
        }
        let known = try read { db in try Set(String.fetchAll(db, sql: "SELECT file FROM starter")) }
        for file in try BlocklistStore.listFiles(directory) where !known.contains(file) {
            let path = directory + "/" + file
            do {
                results.append(.loaded(try addStarter(path, progress: progress)))
                try write { db in
                    try db.execute(
                        sql: "INSERT OR IGNORE INTO starter (file, loaded) VALUES (?, ?)",
                        arguments: [file, BlocklistStore.now()])
                }
            } catch let error as BlocklistError {
                guard case .listRefused = error else { throw error }
                results.append(.failed(file: path, error))
            }
        }
        return results
    }

    /// Adds a starter list under its own name, or another when the user has a list of that name.
    private func addStarter(_ path: String, progress: ProgressHandler) throws -> ImportReport {
        do {
            return try add(path, progress: progress)
        } catch BlocklistError.listExists(let name) {
            return try add(path, ListOptions(name: "starter-" + name), progress: progress)
        }
    }

    private static func listFiles(_ path: String) throws(BlocklistError) -> [String] {
        guard let directory = unsafe opendir(path) else {
            throw .system("open directory \(path)", "\(Errno.current())")
        }
        defer { unsafe closedir(directory) }
        var files: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: entry.pointee.d_name) { pointer in
                unsafe String(cString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
            }
            let wanted = [".txt", ".hosts", ".domains"].contains { name.hasSuffix($0) }
            if wanted && !name.hasPrefix(".") { files.append(name) }
        }
        return files.sorted()
    }
}
