import Blocklist
import Foundation

extension BlocklistStore {
    /// Reads every file of a folder into a list of its own, in the order of their names. Returns what was read.
    ///
    /// - Throws: when the folder cannot be read. A file that is refused is skipped, and told to `refused`.
    func loadStarterLists(
        from folder: String, refused: (_ file: String, _ reason: String) -> Void
    ) throws -> [ImportReport] {
        var reports: [ImportReport] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: folder).sorted() where !name.hasPrefix(".") {
            guard name.hasSuffix(".txt") || name.hasSuffix(".hosts") || name.hasSuffix(".domains") else { continue }
            do {
                reports.append(try add(folder + "/" + name))
            } catch {
                refused(name, "\(error)")
            }
        }
        return reports
    }
}
