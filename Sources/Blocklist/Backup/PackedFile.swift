import CZlib
import Glibc
import Kernel

/// Writes lines into a gzip file (RFC 1952) and keeps the SHA-256 of what went in. One thread.
@safe
final class PackedWriter {
    private let file: gzFile
    private let path: String
    private var digest = SHA256()
    private var buffer: [UInt8] = []
    private var isOpen = true
    private static let room = 1 << 18

    /// - Parameter number: an open descriptor, which is the writer's from here on.
    init(_ number: CInt, path: String) throws(BlocklistError) {
        guard let file = unsafe gzdopen(number, "wb6") else {
            close(number)
            throw .system("write \(path)", "out of memory")
        }
        unsafe self.file = unsafe file
        self.path = path
        buffer.reserveCapacity(PackedWriter.room + 4096)
    }

    deinit {
        if isOpen { unsafe gzclose(file) }
    }

    /// Writes a line and its end.
    func write(_ line: [UInt8]) throws(BlocklistError) {
        buffer += line
        buffer.append(UInt8(ascii: "\n"))
        if buffer.count >= PackedWriter.room { try flush() }
    }

    /// The digest of all lines so far.
    func digestText() throws(BlocklistError) -> String {
        try flush()
        return digest.text
    }

    private func flush() throws(BlocklistError) {
        guard !buffer.isEmpty else { return }
        let written = unsafe buffer.withUnsafeBytes { bytes in
            unsafe digest.update(bytes)
            return unsafe gzwrite(file, bytes.baseAddress!, UInt32(bytes.count))
        }
        guard written == buffer.count else { throw failure() }
        buffer.removeAll(keepingCapacity: true)
    }

    /// Writes what is left and closes the file.
    func finish() throws(BlocklistError) {
        try flush()
        isOpen = false
        guard unsafe gzclose(file) == Z_OK else { throw failure() }
    }

    private func failure() -> BlocklistError {
        .system("write \(path)", "\(Errno.current())")
    }
}

/// Reads the lines of a gzip file and keeps the SHA-256 of those before the one at hand. One thread.
@safe
final class PackedReader {
    /// The longest line, bytes.
    static let longest = 16 << 20

    private let file: gzFile
    private let path: String
    private var digest = SHA256()
    private var buffer = [UInt8](repeating: 0, count: 1 << 18)
    private var start = 0
    private var end = 0
    /// The line that `next` came to, without its end.
    private(set) var line: ArraySlice<UInt8> = []
    /// Its number, from 1.
    private(set) var number = 0

    init(path: String) throws(BlocklistError) {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw .system("open \(path)", "\(Errno.current())") }
        guard let file = unsafe gzdopen(number, "rb") else {
            close(number)
            throw .system("read \(path)", "out of memory")
        }
        unsafe self.file = unsafe file
        self.path = path
    }

    deinit {
        unsafe gzclose(file)
    }

    /// Bytes of the file that were taken so far, packed.
    var offset: Int64 { unsafe Int64(gzoffset(file)) }

    /// The digest of all lines before this one.
    var digestText: String { digest.text }

    /// Goes on to the next line; false at the end of the file.
    ///
    /// - Throws: `BlocklistError.listRefused` for a file that is cut or damaged, with the place.
    func next() throws(BlocklistError) -> Bool {
        if number > 0 {
            // The line that was at hand is one before this one now.
            unsafe buffer.withUnsafeBytes {
                unsafe digest.update(UnsafeRawBufferPointer(rebasing: $0[line.startIndex..<start]))
            }
        }
        var searched = start
        while true {
            if let stop = buffer[searched..<end].firstIndex(of: UInt8(ascii: "\n")) {
                line = buffer[start..<stop]
                start = stop + 1
                number += 1
                return true
            }
            searched = end
            if start > 0 {
                buffer.replaceSubrange(0..<(end - start), with: Array(buffer[start..<end]))
                end -= start
                searched -= start
                start = 0
            }
            if end == buffer.count {
                guard buffer.count < PackedReader.longest else {
                    throw refused("longer than \(PackedReader.longest) bytes")
                }
                buffer += [UInt8](repeating: 0, count: buffer.count)
            }
            let got = unsafe buffer.withUnsafeMutableBytes { room in
                unsafe gzread(file, room.baseAddress! + end, UInt32(room.count - end))
            }
            var code: CInt = Z_OK
            let message = unsafe gzerror(file, &code).map { unsafe String(cString: $0) } ?? ""
            switch code {
            case Z_OK, Z_STREAM_END: break
            case Z_BUF_ERROR:
                throw .listRefused(path, "the file is cut off after \(offset) bytes, in line \(number + 1)")
            case Z_ERRNO: throw .system("read \(path)", "\(Errno.current())")
            default:
                throw .listRefused(path, "the file is damaged before byte \(offset), in line \(number + 1): \(message)")
            }
            guard got >= 0 else { throw .system("read \(path)", message) }
            if got == 0 {
                guard end == start else { throw refused("the file ends within it") }
                line = []
                return false
            }
            end += Int(got)
        }
    }

    func refused(_ reason: String, column: Int? = nil) -> BlocklistError {
        .listRefused(path, "line \(number)\(column.map { ", column \($0 + 1)" } ?? ""): \(reason)")
    }
}
