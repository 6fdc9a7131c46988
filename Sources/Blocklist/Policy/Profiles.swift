/// Which lists and rules are in force for whom. Immutable, made on the cold path, a part of the snapshot; any thread.
///
/// A profile is a row of two bitmaps: one bit for every list of the index (`IndexView.Class.slot`), and one for every group
/// of rules. Layout: for each profile 16 bytes (of each bitmap: its place u32, its bits u32), then the bitmaps' words,
/// u64 each. A slot beyond a bitmap is out of force.
@safe
final class Profiles: Sendable {
    /// One profile, to be made.
    struct Profile: Hashable, Sendable {
        /// Slots of the lists in force; nil: every list.
        var lists: Set<UInt16>?
        /// Slots of the groups of rules in force; nil: every rule.
        var rules: Set<UInt16>?
    }

    /// One profile, for everybody, in which everything is in force.
    static let everything = Profiles([Profile()])

    let view: View
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer

    /// - Parameter profiles: at least one, in the order of their numbers; the first is that of whoever is in no group.
    init(_ profiles: [Profile]) {
        precondition(!profiles.isEmpty && profiles.count <= UInt16.max)
        var bitmaps: [UInt64] = []
        var heads: [UInt32] = []
        for profile in profiles {
            for slots in [profile.lists, profile.rules] {
                heads.append(UInt32(profiles.count * 16 + bitmaps.count * 8))
                // Of a bitmap in which all are set no bit is ever looked at.
                guard let slots else {
                    heads.append(Slots.all)
                    continue
                }
                let count = (slots.max().map { Int($0) + 1 } ?? 0)
                heads.append(UInt32(count))
                var words = [UInt64](repeating: 0, count: (count + 63) / 64)
                for slot in slots { words[Int(slot) / 64] |= 1 << UInt64(slot % 64) }
                bitmaps += words
            }
        }
        let size = profiles.count * 16 + bitmaps.count * 8
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        unsafe heads.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        unsafe bitmaps.withUnsafeBytes {
            if $0.count > 0 {
                unsafe (memory + profiles.count * 16).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
            }
        }
        unsafe self.memory = unsafe memory
        view = unsafe View(memory, profiles.count)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// A bitmap, borrowed.
    @safe
    struct Slots: @unchecked Sendable {
        fileprivate static let all = UInt32.max
        private let words: UnsafeRawPointer
        private let count: UInt32

        @unsafe
        fileprivate init(_ words: UnsafeRawPointer, _ count: UInt32) {
            unsafe self.words = unsafe words
            self.count = count
        }

        @inline(__always)
        func contains(_ slot: UInt16) -> Bool {
            if count == Slots.all { return true }
            guard UInt32(slot) < count else { return false }
            let word = unsafe words.load(fromByteOffset: Int(slot >> 6) * 8, as: UInt64.self)
            return word >> UInt64(slot & 63) & 1 != 0
        }
    }

    /// The profiles' memory, borrowed.
    @safe
    struct View: @unchecked Sendable {
        private let memory: UnsafeRawPointer
        let count: Int

        @unsafe
        fileprivate init(_ memory: UnsafeRawPointer, _ count: Int) {
            unsafe self.memory = unsafe memory
            self.count = count
        }

        /// The lists in force in a profile; those of the first for a number that there is not.
        @inline(__always)
        func lists(_ profile: UInt16) -> Slots { slots(profile, 0) }

        /// The groups of rules in force.
        @inline(__always)
        func rules(_ profile: UInt16) -> Slots { slots(profile, 8) }

        @inline(__always)
        private func slots(_ profile: UInt16, _ field: Int) -> Slots {
            let head = unsafe memory + (Int(profile) < count ? Int(profile) : 0) * 16 + field
            return unsafe Slots(
                memory + Int(head.load(as: UInt32.self)), head.load(fromByteOffset: 4, as: UInt32.self))
        }
    }
}
