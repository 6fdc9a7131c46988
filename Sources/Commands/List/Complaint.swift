import Glibc

extension Terminal {
    /// Writes a line to standard error, after what was printed before.
    static func complain(_ line: String) {
        flush()
        var text = line.printable + "\n"
        text.withUTF8 { bytes in
            _ = unsafe write(STDERR_FILENO, bytes.baseAddress, bytes.count)
        }
    }
}
