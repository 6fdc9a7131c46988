/// The first 256 bytes of a compiled index: what it was made from, and where its sections are.
///
/// Integers are little-endian, offsets count from the start of the file.
///
/// ```
///   symbols   256 × 8 bytes of words, 256 bytes of lengths
///   classes   24 bytes each: base u64, list i32, flags u32 (1 allow, 2 exact), name offset u32, name length u32
///   titles    the lists' names, UTF-8
///   names     for each line: one length a name, then the compressed names
///   lines     64 bytes each: first ordinal u32, offset in names u32, ends of four runs u8 × 4, 52 fingerprints
///   sources   for each name, packed: class base + line number in its list
///   prefixes  two tables (`PrefixLayout`), of the allow lists and of the deny lists, with the same sources
/// ```
struct IndexHeader: Equatable {
    static let magic: UInt64 = 0x7865_646E_6962_7477  // "wtbindex"
    static let version: UInt64 = 2
    static let size = 256

    /// The database's random identity.
    var identity: UInt64 = 0
    /// The generation of the lists the index was made from.
    var generation: UInt64 = 0
    var seed: UInt64 = 0
    /// Distinct names.
    var names: UInt64 = 0
    /// Names and the second entries of names that an exact rule and a suffix rule judge differently.
    var entries: UInt64 = 0
    var lines: UInt64 = 0
    var symbolsAt: UInt64 = 0
    var classesAt: UInt64 = 0
    var classes: UInt64 = 0
    var titlesAt: UInt64 = 0
    var titlesSize: UInt64 = 0
    var namesAt: UInt64 = 0
    var namesSize: UInt64 = 0
    var linesAt: UInt64 = 0
    var sourcesAt: UInt64 = 0
    /// Bits of one packed source, 1 to 40.
    var sourceBits: UInt64 = 1
    /// Bit n (of 128) is set when a name of n labels is listed.
    var depthsLow: UInt64 = 0
    var depthsHigh: UInt64 = 0
    var fileSize: UInt64 = 0
    /// `Checksum` of everything after the header.
    var bodyChecksum: UInt64 = 0
    /// The bits of a hash that count: all of them, but in tests that want collisions.
    var hashMask: UInt64 = .max

    var allowedPrefixesAt: UInt64 = 0
    var deniedPrefixesAt: UInt64 = 0

    private var words: [UInt64] {
        [
            IndexHeader.magic, IndexHeader.version, identity, generation, seed, names, entries, lines, symbolsAt,
            classesAt, classes, titlesAt, titlesSize, namesAt, namesSize, linesAt, sourcesAt, sourceBits, depthsLow,
            depthsHigh, fileSize, bodyChecksum, hashMask, allowedPrefixesAt, deniedPrefixesAt,
        ]
    }

    /// The 256 bytes; the last eight are the checksum of those before.
    func compose() -> [UInt8] {
        var bytes = words.flatMap(IndexHeader.bytes)
        bytes += [UInt8](repeating: 0, count: IndexHeader.size - 8 - bytes.count)
        return bytes + IndexHeader.bytes(IndexHeader.checksum(bytes))
    }

    /// - Throws: `BlocklistError.indexCorrupt` when these are not the bytes of a header of this version.
    init(parsing bytes: [UInt8], path: String) throws(BlocklistError) {
        guard bytes.count == IndexHeader.size else { throw .indexCorrupt(path, "shorter than its header") }
        let words = (0..<IndexHeader.size / 8).map { index in
            (0..<8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64(bytes[index * 8 + $1]) }
        }
        guard words[0] == IndexHeader.magic else { throw .indexCorrupt(path, "not an index") }
        guard words[1] == IndexHeader.version else {
            throw .indexCorrupt(path, "version \(words[1]), not \(IndexHeader.version)")
        }
        guard words[31] == IndexHeader.checksum(Array(bytes.dropLast(8))) else {
            throw .indexCorrupt(path, "wrong header checksum")
        }
        identity = words[2]
        generation = words[3]
        seed = words[4]
        names = words[5]
        entries = words[6]
        lines = words[7]
        symbolsAt = words[8]
        classesAt = words[9]
        classes = words[10]
        titlesAt = words[11]
        titlesSize = words[12]
        namesAt = words[13]
        namesSize = words[14]
        linesAt = words[15]
        sourcesAt = words[16]
        sourceBits = words[17]
        depthsLow = words[18]
        depthsHigh = words[19]
        fileSize = words[20]
        bodyChecksum = words[21]
        hashMask = words[22]
        allowedPrefixesAt = words[23]
        deniedPrefixesAt = words[24]
    }

    init() {}

    private static func bytes(_ word: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt64 {
        var checksum = Checksum()
        unsafe bytes.withUnsafeBytes { unsafe checksum.update($0) }
        return checksum.value
    }
}
