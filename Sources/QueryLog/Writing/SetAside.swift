internal import Glibc

/// Moves a database that cannot be used out of the way, so that its contents can be looked at later. Nothing is deleted.
enum SetAside {
    /// Renames `path` and its `-wal` and `-shm` files to `<path>.corrupt-<time>`.
    ///
    /// - Parameter time: seconds since 1970, in the new name as `20260102T030405Z`.
    /// - Returns: the new path of the database.
    /// - Throws: `QueryLogError.sqlite` with the kernel's reason when the rename fails.
    static func move(_ path: String, time: Int) throws(QueryLogError) -> String {
        let stem = path + ".corrupt-" + stamp(time)
        var target = stem
        var number = 2
        while exists(target) {
            target = "\(stem)-\(number)"
            number += 1
        }
        // The side files first: a new database must not meet the old one's write-ahead log.
        for suffix in ["-wal", "-shm", ""] where exists(path + suffix) {
            guard unsafe rename(path + suffix, target + suffix) == 0 else {
                let reason = unsafe String(cString: strerror(errno))
                throw .sqlite(action: "set \(path) aside", code: 0, message: reason)
            }
        }
        return target
    }

    static func exists(_ path: String) -> Bool {
        unsafe access(path, F_OK) == 0
    }

    private static func stamp(_ seconds: Int) -> String {
        var clock = time_t(seconds)
        var parts = unsafe tm()
        _ = unsafe gmtime_r(&clock, &parts)
        let pad = { (value: Int32) in value < 10 ? "0\(value)" : "\(value)" }
        return unsafe "\(parts.tm_year + 1900)\(pad(parts.tm_mon + 1))\(pad(parts.tm_mday))"
            + "T\(pad(parts.tm_hour))\(pad(parts.tm_min))\(pad(parts.tm_sec))Z"
    }
}
