public import Glibc

/// The address of a Unix socket (unix(7)): a path, or a name in the abstract space, written with `@` before it.
public struct UnixAddress: Sendable {
    private let bytes: [UInt8]

    /// - Throws: `KernelError` when the text is empty or longer than the kernel takes (107 bytes).
    public init(_ text: String) throws(KernelError) {
        let capacity = MemoryLayout.size(ofValue: sockaddr_un().sun_path)
        guard !text.isEmpty, text.utf8.count < capacity, !text.utf8.contains(0) else {
            let bound = "a socket's path has 1 to \(capacity - 1) bytes"
            throw KernelError("use socket \(text) (\(bound))", Errno(text.isEmpty ? EINVAL : ENAMETOOLONG))
        }
        var bytes = Array(text.utf8)
        if bytes[0] == UInt8(ascii: "@") {
            bytes[0] = 0
        } else {
            bytes.append(0)
        }
        self.bytes = bytes
    }

    /// Calls `body` with the kernel's form of the address and its length in bytes.
    public func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var raw = sockaddr_un()
        raw.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &raw.sun_path) { path in
            for (index, byte) in bytes.enumerated() { unsafe path[index] = byte }
        }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        return unsafe withUnsafePointer(to: &raw) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
        }
    }
}
