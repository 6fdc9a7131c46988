import Glibc
import Kernel

/// Small text files, whole.
enum FileText {
    struct Failure: Error, Equatable {
        /// Without the path.
        let reason: String
    }

    static func exists(_ path: String) -> Bool {
        unsafe access(path, F_OK) == 0
    }

    /// The text of a file of at most 1 MiB of UTF-8 without NUL.
    static func read(_ path: String) throws(Failure) -> String {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw Failure(reason: "\(Errno.current())") }
        let descriptor = Descriptor(owning: number)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe descriptor.read(into: $0) }
            if count == -Int(EINTR) { continue }
            guard count >= 0 else { throw Failure(reason: "\(Errno(CInt(-count)))") }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= 1 << 20 else { throw Failure(reason: "larger than 1 MiB") }
        }
        guard !bytes.contains(0) else { throw Failure(reason: "holds a NUL byte; is it a text file?") }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Failure(reason: "is not UTF-8 text") }
        return text
    }
}
