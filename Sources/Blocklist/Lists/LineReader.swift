import Glibc
import Kernel

/// Reads a file line by line through one buffer. Lines end with LF or CR LF; a UTF-8 byte-order mark in front is
/// passed over.
struct LineReader: ~Copyable {
    /// The longest line that is given whole, in bytes.
    static let longest = 65_536

    let path: String
    /// The file's size when it was opened, in bytes.
    let size: Int
    /// Bytes read so far.
    private(set) var read = 0
    private let file: Descriptor
    private var buffer = [UInt8](repeating: 0, count: 1 << 20)

    /// - Throws: `BlocklistError.listRefused` when the file cannot be read, with the kernel's reason.
    ///
    /// - Parameter name: what errors call it; by default the path.
    init(path: String, called name: String? = nil) throws(BlocklistError) {
        let name = name ?? path
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw .listRefused(name, "\(Errno.current())") }
        let file = Descriptor(owning: number)
        var status = stat()
        guard unsafe fstat(number, &status) == 0 else { throw .listRefused(name, "\(Errno.current())") }
        guard status.st_mode & S_IFMT != S_IFDIR else { throw .listRefused(name, "a directory, not a list") }
        self.path = name
        self.file = file
        size = Int(status.st_size)
    }

    /// Fills the buffer from `count` on. Returns how many bytes it holds then.
    private mutating func fill(from count: Int) throws(BlocklistError) -> Int {
        var count = count
        while count < buffer.count {
            let got = unsafe buffer.withUnsafeMutableBytes { bytes in
                unsafe file.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[count...]))
            }
            if got == -Int(EINTR) { continue }
            guard got >= 0 else { throw .listRefused(path, "\(Errno(CInt(-got)))") }
            if got == 0 { break }
            count += got
            read += got
        }
        return count
    }

    /// The first bytes of the file, up to a megabyte, for `body`. Call before `forEachLine`; reading starts over.
    mutating func withHead<R>(_ body: (Span<UInt8>) throws(BlocklistError) -> R) throws(BlocklistError) -> R {
        let count = try fill(from: 0)
        let result = try body(buffer.span.extracting(first: count))
        // A pipe cannot go back; its head stays in the buffer.
        if lseek(file.number, 0, SEEK_SET) == 0 { read = 0 } else { held = count }
        return result
    }

    private var held = 0

    /// Calls `body` with each line: its number from 1, its bytes without the line end, and whether it was cut because
    /// it is longer than `longest`.
    mutating func forEachLine(
        _ body: (_ number: Int, _ line: Span<UInt8>, _ cut: Bool, _ read: Int) throws(BlocklistError) -> Void
    ) throws(BlocklistError) {
        var count = held
        var number = 0
        var skipping = false
        var start = 0
        while true {
            count = try fill(from: count)
            let final = count < buffer.count
            if number == 0 && count >= 3 && buffer[0] == 0xEF && buffer[1] == 0xBB && buffer[2] == 0xBF { start = 3 }
            while start < count {
                let end = newline(start, count)
                if end == count && !final && start > 0 { break }
                if !skipping {
                    number += 1
                    guard number < EntryID.lines else { throw .listRefused(path, "more than \(EntryID.lines) lines") }
                    let cut = end - start > LineReader.longest
                    var last = cut ? start + LineReader.longest : end
                    if last > start && buffer[last - 1] == 0x0D { last -= 1 }
                    try body(number, buffer.span.extracting(start..<last), cut, read)
                }
                // A line that fills the buffer goes on in the next one.
                skipping = end == count && !final
                start = end + 1
            }
            if final { return }
            if skipping && start >= count {
                count = 0
            } else {
                buffer.replaceSubrange(0..<count - start, with: buffer[start..<count])
                count -= start
            }
            start = 0
        }
    }

    /// Where the next LF is, or `end`.
    private func newline(_ start: Int, _ end: Int) -> Int {
        unsafe buffer.withUnsafeBytes { bytes in
            let from = unsafe bytes.baseAddress! + start
            guard let found = unsafe memchr(from, 0x0A, end - start) else { return end }
            return unsafe start + (UnsafeRawPointer(found) - from)
        }
    }
}
