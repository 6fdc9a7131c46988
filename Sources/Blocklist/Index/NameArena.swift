import Glibc

/// Names one after another in one block of memory that grows, each a length byte and its text.
@safe
struct NameArena: ~Copyable {
    private var memory: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0
    /// Readable bytes behind the last name, for eight-byte loads.
    private static let slack = 16

    init(capacity: Int) {
        self.capacity = max(4096, capacity)
        unsafe memory = NameArena.allocate(nil, self.capacity)
    }

    deinit {
        unsafe free(memory)
    }

    private static func allocate(_ old: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer {
        guard let memory = unsafe realloc(old, size) else { fatalError("no memory for \(size) bytes of names") }
        return unsafe memory
    }

    /// Adds a name of 1 to 253 bytes and returns its offset.
    @inline(__always)
    mutating func append(_ text: UnsafeRawBufferPointer) -> Int {
        let needed = count + 1 + text.count + NameArena.slack
        if needed > capacity {
            capacity = max(needed, capacity + capacity / 2)
            unsafe memory = NameArena.allocate(memory, capacity)
        }
        let offset = count
        unsafe memory.storeBytes(of: UInt8(text.count), toByteOffset: offset, as: UInt8.self)
        unsafe memcpy(memory + offset + 1, text.baseAddress!, text.count)
        count += 1 + text.count
        return offset
    }

    /// The first byte of the name at an offset; eight bytes from its last one are readable.
    @inline(__always)
    func text(_ offset: Int) -> UnsafeRawPointer {
        unsafe UnsafeRawPointer(memory + offset + 1)
    }

    /// The length of the name at an offset.
    @inline(__always)
    func length(_ offset: Int) -> Int {
        unsafe Int(memory.load(fromByteOffset: offset, as: UInt8.self))
    }

    /// How two names compare: negative, 0 or positive.
    func compare(_ a: Int, _ b: Int) -> Int {
        let common = min(length(a), length(b))
        let order = unsafe memcmp(text(a), text(b), common)
        return order != 0 ? Int(order) : length(a) - length(b)
    }
}
