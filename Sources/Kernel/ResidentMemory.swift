import CKernel
import Glibc

/// The memory that this process has in RAM. Cold; any thread.
public enum ResidentMemory {
    /// Gives back what was needed once: free pages of the heap, and the pages of programs and libraries, most of which only
    /// the start has touched. What is needed again comes back from the kernel's page cache, by 64 KiB a fault.
    ///
    /// Only mappings of files that cannot be written to and have no page of their own are let go (madvise(2),
    /// `MADV_DONTNEED`): what comes back is what was there.
    ///
    /// - Returns: bytes of such mappings that were resident.
    @discardableResult
    public static func giveBack() -> Int {
        ckernel_trim_heap()
        var total = 0
        for mapping in mappings() where mapping.isClean {
            guard let start = unsafe UnsafeMutableRawPointer(bitPattern: mapping.start) else { continue }
            if unsafe madvise(start, mapping.byteCount, MADV_DONTNEED) == 0 { total += mapping.resident }
        }
        return total
    }

    /// For a process that runs for long: large pieces of the heap are always taken from the kernel, so that they go back to it
    /// (mallopt(3)). To be called before threads are made.
    public static func keepHeapSmall() {
        ckernel_small_heap()
    }

    /// A part of the address space, as `/proc/self/smaps` describes it (proc_pid_smaps(5)).
    struct Mapping: Equatable {
        var start: UInt
        var byteCount: Int
        /// Of a file, private to this process, not writable.
        var isReadOnlyFile: Bool
        /// Bytes in RAM, and bytes that are no longer those of the file, in RAM or swapped out.
        var resident = 0
        var own = 0

        var isClean: Bool { isReadOnlyFile && own == 0 && resident > 0 }
    }

    static func mappings() -> [Mapping] {
        guard let text = read("/proc/self/smaps") else { return [] }
        return parse(text)
    }

    static func parse(_ text: String) -> [Mapping] {
        var found: [Mapping] = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard let first = words.first else { continue }
            if first.hasSuffix(":") {
                guard let last = found.indices.last, words.count >= 2, let count = Int(words[1]) else { continue }
                switch first {
                case "Rss:": found[last].resident = count * 1024
                case "Anonymous:", "Swap:", "Private_Dirty:", "Shared_Dirty:", "AnonHugePages:":
                    found[last].own += count * 1024
                default: break
                }
            } else if let mapping = Mapping(words) {
                found.append(mapping)
            }
        }
        return found
    }

    private static func read(_ path: String) -> String? {
        guard let file = try? Descriptor(unsafe open(path, O_RDONLY | O_CLOEXEC), "open \(path)") else { return nil }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe file.read(into: $0) }
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension ResidentMemory.Mapping {
    /// The first line of a mapping: `start-end perms offset device inode path`.
    init?(_ words: [Substring]) {
        guard words.count >= 5, let dash = words[0].firstIndex(of: "-"),
            let start = UInt(words[0][..<dash], radix: 16),
            let end = UInt(words[0][words[0].index(after: dash)...], radix: 16), end > start
        else { return nil }
        self.start = start
        byteCount = Int(end - start)
        let permissions = words[1]
        let isFile = words[4] != "0" && words.count >= 6 && words[5].hasPrefix("/")
        isReadOnlyFile = isFile && permissions.hasPrefix("r-") && permissions.hasSuffix("p")
    }
}
