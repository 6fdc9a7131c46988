import Glibc
import Kernel

/// The right to be the only daemon of a state directory: an exclusive flock(2) on `webtun.lock`, which holds the
/// process id of its owner. The kernel drops it with the process, however that ends.
struct InstanceLock: ~Copyable, Sendable {
    enum Failure: Error, CustomStringConvertible {
        /// Another process has the lock.
        case taken(path: String, pid: Int32?)
        case kernel(KernelError)

        var description: String {
            switch self {
            case .taken(let path, let pid):
                "another webtun is running" + (pid.map { " (process \($0))" } ?? "") + ": it holds \(path)"
            case .kernel(let error): error.description
            }
        }
    }

    private let descriptor: Descriptor

    init(state: String) throws(Failure) {
        descriptor = try InstanceLock.take(InstanceLock.path(state))
    }

    private static func take(_ path: String) throws(Failure) -> Descriptor {
        let number = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw .kernel(KernelError("open \(path)")) }
        let descriptor = Descriptor(owning: number)
        guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
            let errno = Errno.current()
            guard errno.code == EWOULDBLOCK else { throw .kernel(KernelError("lock \(path)", errno)) }
            throw .taken(path: path, pid: pid(path))
        }
        let text = Array("\(getpid())\n".utf8)
        guard ftruncate(number, 0) == 0, unsafe text.withUnsafeBytes({ unsafe descriptor.write($0) }) == text.count
        else { throw .kernel(KernelError("write \(path)")) }
        return descriptor
    }

    /// Gives the right back; the file stays, empty.
    consuming func unlock() {
        _ = ftruncate(descriptor.number, 0)
    }

    /// Whether a process has the lock of `state`, without taking it.
    static func isTaken(state: String) -> Bool {
        let number = unsafe open(path(state), O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { return false }
        let descriptor = Descriptor(owning: number)
        return flock(descriptor.number, LOCK_SH | LOCK_NB) != 0
    }

    private static func path(_ state: String) -> String { state + "/webtun.lock" }

    private static func pid(_ path: String) -> Int32? {
        guard let text = try? FileText.read(path) else { return nil }
        return Int32(text.prefix { $0 != "\n" })
    }
}
