public import Glibc

/// An error number of the kernel, as a value: `Errno.current()` after a failing call, or the negated result of a
/// shim that returns `-errno`.
public struct Errno: Error, Equatable, Sendable, CustomStringConvertible {
    /// The positive number, as in `<errno.h>`.
    public let code: CInt

    @inlinable
    public init(_ code: CInt) {
        self.code = code
    }

    /// The calling thread's `errno`.
    @inlinable
    public static func current() -> Errno {
        Errno(errno)
    }

    /// The text of the C library, for instance `No such device`.
    public var description: String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}

/// A call to the kernel that failed: what was tried, on what, and why.
public struct KernelError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was tried, for instance `open /dev/net/tun`.
    public let action: String
    public let errno: Errno

    public init(_ action: String, _ errno: Errno = .current()) {
        self.action = action
        self.errno = errno
    }

    public var description: String { "\(action): \(errno)" }
}
