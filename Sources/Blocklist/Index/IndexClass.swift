/// The record of a class, 32 bytes: list i32, slot u16, kind u16, base u32, then the places and lengths of the list's name
/// and of the options among the texts, u32 each, and four bytes of zeros.
struct IndexClass {
    static let size = 32

    var list: Int32
    var slot: UInt16
    var kind: EntryKind
    /// The source number of line 0, for the prefixes of a list of addresses.
    var base: UInt32
    var title: Range<Int>
    var options: Range<Int>

    init(list: Int32, slot: UInt16, kind: EntryKind, base: UInt32, title: Range<Int>, options: Range<Int>) {
        self.list = list
        self.slot = slot
        self.kind = kind
        self.base = base
        self.title = title
        self.options = options
    }

    /// - Parameter record: `size` bytes, aligned to 8.
    @unsafe
    init(_ record: UnsafeRawPointer) {
        unsafe list = record.load(as: Int32.self)
        unsafe slot = record.load(fromByteOffset: 4, as: UInt16.self)
        unsafe kind = EntryKind(rawValue: record.load(fromByteOffset: 6, as: UInt8.self))
        unsafe base = record.load(fromByteOffset: 8, as: UInt32.self)
        func range(_ at: Int) -> Range<Int> {
            let place = unsafe Int(record.load(fromByteOffset: at, as: UInt32.self))
            return unsafe place..<place + Int(record.load(fromByteOffset: at + 4, as: UInt32.self))
        }
        title = range(12)
        options = range(20)
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        func put(_ value: some FixedWidthInteger) {
            for byte in 0..<value.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
        }
        put(list)
        put(slot)
        put(UInt16(kind.rawValue))
        put(base)
        for range in [title, options] {
            put(UInt32(range.lowerBound))
            put(UInt32(range.count))
        }
        put(UInt32(0))
        return bytes
    }
}
