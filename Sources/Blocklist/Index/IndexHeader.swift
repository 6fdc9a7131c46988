/// The first 256 bytes of a compiled index: what it was made from, and where its sections are.
///
/// Integers are little-endian, offsets count from the start of the file.
///
/// ```
///   classes   32 bytes each: `IndexClass`
///   texts     the lists' names and the entries' options, UTF-8
///   sets      u32 each: a class, or `IndexView.several` and the place of its row among the members
///   members   u32 each, rows of a count and so many classes in their order of precedence
///   lines     64 bytes each: number of the first name u32, ends of four runs u8 × 4, 56 fingerprints; and one more
///   records   of each name, packed: 48 bits of hash and the number of its set
///   parents   a bitmap, u64 each: `ParentFilter`
///   patterns  `PatternTable`, its tags are classes
///   prefixes  two tables (`PrefixLayout`), of the allow lists and of the deny lists
/// ```
struct IndexHeader: Equatable {
    static let magic: UInt64 = 0x7865_646E_6962_7477  // "wtbindex"
    static let version: UInt64 = 5
    static let size = 256

    /// The database's random identity.
    var identity: UInt64 = 0
    /// The generation of the lists the index was made from.
    var generation: UInt64 = 0
    var seed: UInt64 = 0
    /// Distinct names.
    var names: UInt64 = 0
    var lines: UInt64 = 0
    var classesAt: UInt64 = 0
    var classes: UInt64 = 0
    var textsAt: UInt64 = 0
    var textsSize: UInt64 = 0
    var setsAt: UInt64 = 0
    var sets: UInt64 = 0
    var membersAt: UInt64 = 0
    var members: UInt64 = 0
    var linesAt: UInt64 = 0
    var recordsAt: UInt64 = 0
    /// Bits of the number of a set in a record, 0 to 24.
    var setBits: UInt64 = 0
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
    var patternsAt: UInt64 = 0
    var parentsAt: UInt64 = 0
    /// Bits of a hash that the bitmap of parents has a bit for: 9 to 27.
    var parentBits: UInt64 = 9

    /// The words behind magic and version, in their order in the file.
    private static var fields: [WritableKeyPath<IndexHeader, UInt64>] {
        [
            \.identity, \.generation, \.seed, \.names, \.lines, \.classesAt, \.classes, \.textsAt, \.textsSize,
            \.setsAt,
            \.sets, \.membersAt, \.members, \.linesAt, \.recordsAt, \.setBits, \.depthsLow, \.depthsHigh, \.fileSize,
            \.bodyChecksum, \.hashMask, \.allowedPrefixesAt, \.deniedPrefixesAt, \.patternsAt, \.parentsAt,
            \.parentBits,
        ]
    }

    /// The 256 bytes; the last eight are the checksum of those before.
    func compose() -> [UInt8] {
        let words = [IndexHeader.magic, IndexHeader.version] + IndexHeader.fields.map { self[keyPath: $0] }
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
        for (index, field) in IndexHeader.fields.enumerated() { self[keyPath: field] = words[index + 2] }
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
