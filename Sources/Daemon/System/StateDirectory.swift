import Glibc
import Kernel

/// The directory of everything webtun keeps. Only its owner may look in: the query log is nobody else's business.
enum StateDirectory {
    /// Creates the directory, and those above it, when it is missing.
    static func create(_ path: String) throws(KernelError) {
        guard path.first == "/" || !path.isEmpty else { throw KernelError("create the state directory", Errno(EINVAL)) }
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        var current = path.first == "/" ? "" : "."
        for (index, part) in parts.enumerated() {
            current += "/" + part
            let mode: mode_t = index == parts.count - 1 ? 0o700 : 0o755
            if unsafe mkdir(current, mode) != 0 {
                let errno = Errno.current()
                guard errno.code == EEXIST else { throw KernelError("create the state directory \(path)", errno) }
            }
        }
        var information = stat()
        guard unsafe stat(path, &information) == 0 else { throw KernelError("use the state directory \(path)") }
        guard information.st_mode & S_IFMT == S_IFDIR else {
            throw KernelError("use the state directory \(path)", Errno(ENOTDIR))
        }
        guard unsafe access(path, W_OK | X_OK) == 0 else { throw KernelError("write to the state directory \(path)") }
    }
}
