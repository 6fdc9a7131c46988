import Glibc
import Kernel

/// A compiled index in memory: a mapped file, or bytes of the heap. It owns the memory its `view` points to.
@safe
final class IndexImage: Sendable {
    let header: IndexHeader
    let view: IndexView
    // Never written while the image lives.
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer
    private let size: Int
    private let mapped: Bool
    /// The lines of a large index, which every look-up touches; nil: they are those of `memory`.
    private let lines: HugeCopy?

    /// Maps an index file, read-only, after its checksum has been found right. Pages come in as they are needed; the lines of
    /// a large one are copied.
    ///
    /// - Throws: `BlocklistError.indexMissing`, `.indexCorrupt`, `.system`.
    init(path: String) throws(BlocklistError) {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        if number < 0 && errno == ENOENT { throw .indexMissing(path) }
        guard number >= 0 else { throw .system("open \(path)", "\(Errno.current())") }
        let file = Descriptor(owning: number)
        header = try IndexImage.validate(file, path)
        size = Int(header.fileSize)
        guard let memory = unsafe mmap(nil, size, PROT_READ, MAP_SHARED, file.number, 0), unsafe memory != MAP_FAILED
        else { throw .system("map \(path)", "\(Errno.current())") }
        do {
            try unsafe IndexCheck.check(header, memory, size: size, path: path)
        } catch {
            unsafe munmap(memory, size)
            throw error
        }
        unsafe self.memory = unsafe memory
        mapped = true
        lines = unsafe IndexImage.copyLines(header, memory)
        view = unsafe IndexView(header, memory, lines: lines?.base)
    }

    /// An index of the bytes that `IndexBuilder` made in memory.
    ///
    /// - Throws: `BlocklistError.indexCorrupt`.
    init(bytes: [UInt8]) throws(BlocklistError) {
        header = try IndexHeader(parsing: Array(bytes.prefix(IndexHeader.size)), path: "memory")
        size = bytes.count
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size + 64, alignment: 64)
        unsafe bytes.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        do {
            try unsafe IndexCheck.check(header, memory, size: size, path: "memory")
        } catch {
            unsafe memory.deallocate()
            throw error
        }
        unsafe self.memory = unsafe memory
        mapped = false
        lines = nil
        view = unsafe IndexView(header, memory)
    }

    deinit {
        if mapped {
            unsafe munmap(memory, size)
        } else {
            unsafe memory.deallocate()
        }
    }

    /// Copies the lines of a mapped index when they fill half a huge page or more, and lets the mapping's pages go.
    @unsafe
    private static func copyLines(_ header: IndexHeader, _ memory: UnsafeMutableRawPointer) -> HugeCopy? {
        let bytes = unsafe UnsafeRawBufferPointer(
            start: memory + Int(header.linesAt), count: IndexView.linesSize(header))
        guard bytes.count >= HugeCopy.page / 2, let copy = unsafe HugeCopy(bytes) else { return nil }
        let page = 4096
        let first = (Int(header.linesAt) + page - 1) & ~(page - 1)
        let last = (Int(header.linesAt) + bytes.count) & ~(page - 1)
        if last > first { _ = unsafe madvise(memory + first, last - first, MADV_DONTNEED) }
        return copy
    }

    // MARK: Cold path

    /// The classes by number.
    private var classes: [IndexClass] {
        (0..<Int(header.classes)).map { number in
            unsafe IndexClass(memory + Int(header.classesAt) + number * IndexClass.size)
        }
    }

    private func text(_ range: Range<Int>) -> String {
        let bytes = unsafe UnsafeRawBufferPointer(
            start: memory + Int(header.textsAt) + range.lowerBound, count: range.count)
        return unsafe String(decoding: bytes, as: UTF8.self)
    }

    /// The lists in force: id and name.
    var titles: [Int32: String] {
        var titles: [Int32: String] = [:]
        for found in classes where titles[found.list] == nil { titles[found.list] = text(found.title) }
        return titles
    }

    /// The place of each list in the bitmaps of profiles, by its id.
    var slots: [Int32: UInt16] {
        Dictionary(classes.map { ($0.list, $0.slot) }, uniquingKeysWith: { first, _ in first })
    }

    /// The classes that ask more of a query than its name: number and options.
    var options: [(number: Int, text: String)] {
        classes.enumerated().compactMap { number, found in
            found.kind.contains(.hasOptions) ? (number, text(found.options)) : nil
        }
    }

    /// The options of a class, empty for nearly all.
    func options(of number: Int) -> String {
        text(unsafe IndexClass(memory + Int(header.classesAt) + number * IndexClass.size).options)
    }

    /// Reads the header alone, without checking the rest.
    static func peek(path: String) throws(BlocklistError) -> IndexHeader {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        if number < 0 && errno == ENOENT { throw .indexMissing(path) }
        guard number >= 0 else { throw .system("open \(path)", "\(Errno.current())") }
        let file = Descriptor(owning: number)
        return try IndexHeader(parsing: readBlock(file, path, IndexHeader.size), path: path)
    }

    /// Reads the whole file through a small buffer, not the mapping: checked pages stay out of this process.
    private static func validate(_ file: borrowing Descriptor, _ path: String) throws(BlocklistError) -> IndexHeader {
        let header = try IndexHeader(parsing: readBlock(file, path, IndexHeader.size), path: path)
        var checksum = Checksum()
        var total = IndexHeader.size
        while true {
            let block = try readBlock(file, path, 1 << 18)
            unsafe block.withUnsafeBytes { unsafe checksum.update($0) }
            total += block.count
            if block.count < 1 << 18 { break }
        }
        guard total == header.fileSize else {
            throw .indexCorrupt(path, "\(total) bytes long, not \(header.fileSize)")
        }
        guard checksum.value == header.bodyChecksum else { throw .indexCorrupt(path, "wrong checksum") }
        return header
    }

    /// Reads `size` bytes, fewer only at the end of the file.
    private static func readBlock(
        _ file: borrowing Descriptor, _ path: String, _ size: Int
    ) throws(BlocklistError) -> [UInt8] {
        var failure: CInt = 0
        let number = file.number
        let block = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size {
                let got = unsafe read(number, buffer.baseAddress! + count, size - count)
                if got < 0 && errno == EINTR { continue }
                if got < 0 { failure = errno }
                guard got > 0 else { return }
                count += got
            }
        }
        guard failure == 0 else { throw .system("read \(path)", "\(Errno(failure))") }
        return block
    }
}
