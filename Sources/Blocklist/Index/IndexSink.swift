import Glibc
import Kernel

/// Takes the bytes of an index in order, to a file or to memory, and sums them.
struct IndexSink: ~Copyable {
    private let file: Descriptor?
    private let number: CInt?
    private let path: String
    private var buffer: [UInt8] = []
    private(set) var checksum = Checksum()
    private(set) var written = 0
    private static let block = 1 << 20

    /// A sink into memory.
    init() {
        file = nil
        number = nil
        path = "memory"
    }

    /// A sink into a new file.
    init(path: String) throws(BlocklistError) {
        let number = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard number >= 0 else { throw .system("create \(path)", "\(Errno.current())") }
        self.path = path
        self.number = number
        file = Descriptor(owning: number)
        buffer.reserveCapacity(IndexSink.block)
    }

    /// Adds bytes.
    mutating func append(_ bytes: ArraySlice<UInt8>) throws(BlocklistError) {
        buffer += bytes
        written += bytes.count
        if file != nil && buffer.count >= IndexSink.block { try flush(keeping: (buffer.count - headerLeft) % 32) }
    }

    mutating func append(_ bytes: [UInt8]) throws(BlocklistError) {
        buffer += bytes
        written += bytes.count
        if file != nil && buffer.count >= IndexSink.block { try flush(keeping: (buffer.count - headerLeft) % 32) }
    }

    /// Adds zeros up to a multiple of `alignment`.
    mutating func align(_ alignment: Int) throws(BlocklistError) {
        try append([UInt8](repeating: 0, count: (alignment - written % alignment) % alignment))
    }

    /// The header's bytes while they are still in the buffer: they are not summed.
    private var headerLeft: Int {
        flushed == 0 ? IndexHeader.size : 0
    }

    private var flushed = 0

    private mutating func flush(keeping rest: Int) throws(BlocklistError) {
        let ready = buffer.count - rest
        let skipped = headerLeft
        unsafe buffer.withUnsafeBytes { bytes in
            unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[skipped..<ready]))
        }
        if file != nil {
            try writeAll(Array(buffer[..<ready]), at: nil)
            buffer.removeFirst(ready)
        }
        flushed += ready
    }

    private func writeAll(_ bytes: [UInt8], at place: Int?) throws(BlocklistError) {
        let number = number!
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { bytes in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
                guard let place else { return unsafe write(number, rest.baseAddress!, rest.count) }
                return unsafe pwrite(number, rest.baseAddress!, rest.count, off_t(place + done))
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .system("write \(path)", "\(Errno.current())") }
            done += count
        }
    }

    /// Completes the header and returns the bytes (memory) or brings them to the disk (file).
    consuming func finish(_ header: IndexHeader) throws(BlocklistError) -> [UInt8] {
        try flush(keeping: 0)
        var header = header
        header.fileSize = UInt64(written)
        header.bodyChecksum = checksum.value
        let bytes = header.compose()
        guard let number else {
            buffer.replaceSubrange(0..<IndexHeader.size, with: bytes)
            return buffer
        }
        try writeAll(bytes, at: 0)
        guard fsync(number) == 0 else { throw .system("fsync \(path)", "\(Errno.current())") }
        return []
    }
}
