import Wire

/// A table of prefixes, borrowed from whoever owns its memory: the longest prefix that holds an address.
///
/// An IPv4 address costs about three cache lines: its bucket, the bucket's starts, the facts of one run. An IPv6 address
/// costs a search among the fences and one in the block behind a fence. Nothing allocates; pointers and integers only.
@safe
struct PrefixTable: @unchecked Sendable {
    /// What holds an address.
    struct Hit: Equatable {
        /// As given to the builder.
        var source: UInt32
        /// Bits of the prefix.
        var length: UInt8
    }

    /// Different prefixes.
    let count: Int
    private let layout: PrefixLayout
    private let base: UnsafeRawPointer

    /// - Parameter base: the first byte of a table that `PrefixTableBuilder` made, aligned to 8 bytes.
    @unsafe
    init(_ base: UnsafeRawPointer) {
        func word(_ index: Int) -> Int { unsafe Int(base.load(fromByteOffset: index * 8, as: UInt64.self)) }
        layout = PrefixLayout(runs4: word(0), runs6: word(1), sourceBits: word(2))
        count = word(3)
        unsafe self.base = unsafe base
    }

    func longest(_ address: IPAddress) -> Hit? {
        address.isIPv6 ? find(address.high, address.low) : find(UInt32(truncatingIfNeeded: address.low))
    }

    private func find(_ address: UInt32) -> Hit? {
        guard layout.runs4 > 0 else { return nil }
        let bucket = layout.buckets + Int(address >> 16) * 4
        var low = unsafe Int(base.load(fromByteOffset: bucket, as: UInt32.self))
        var high = unsafe Int(base.load(fromByteOffset: bucket + 4, as: UInt32.self))
        let rest = UInt16(truncatingIfNeeded: address)
        guard low < high, start(low) <= rest else { return nil }
        while high - low > 1 {
            let middle = (low + high) / 2
            if start(middle) <= rest { low = middle } else { high = middle }
        }
        let hit = fact(low, at: layout.facts4, PrefixLayout.lengthBits4)
        // Shorter prefixes hold all that follows in the bucket: a shift by 16 or more gives 0.
        return (start(low) ^ rest) >> UInt16(32 - hit.length) == 0 ? hit : nil
    }

    @inline(__always)
    private func start(_ run: Int) -> UInt16 {
        unsafe base.load(fromByteOffset: layout.starts4 + run * 2, as: UInt16.self)
    }

    private func find(_ addressHigh: UInt64, _ addressLow: UInt64) -> Hit? {
        guard layout.runs6 > 0 else { return nil }
        /// Whether the address at two places is at or before the one looked for.
        @inline(__always)
        func isAtOrBefore(_ highPlace: Int, _ lowPlace: Int) -> Bool {
            let start = unsafe base.load(fromByteOffset: highPlace, as: UInt64.self)
            if start != addressHigh { return start < addressHigh }
            return unsafe base.load(fromByteOffset: lowPlace, as: UInt64.self) <= addressLow
        }
        guard isAtOrBefore(layout.fences, layout.fences + 8) else { return nil }
        var low = 0
        var high = layout.fenceCount
        while high - low > 1 {
            let middle = (low + high) / 2
            let place = layout.fences + middle * 16
            if isAtOrBefore(place, place + 8) { low = middle } else { high = middle }
        }
        high = min((low + 1) * PrefixLayout.block, layout.runs6)
        low *= PrefixLayout.block
        while high - low > 1 {
            let middle = (low + high) / 2
            if isAtOrBefore(layout.highs + middle * 8, layout.lows + middle * 8) { low = middle } else { high = middle }
        }
        let hit = fact(low, at: layout.facts6, PrefixLayout.lengthBits6)
        let mask = IPPrefix.mask(length: Int(hit.length), isIPv6: true)
        let startHigh = unsafe base.load(fromByteOffset: layout.highs + low * 8, as: UInt64.self)
        let startLow = unsafe base.load(fromByteOffset: layout.lows + low * 8, as: UInt64.self)
        return (startHigh ^ addressHigh) & mask.high == 0 && (startLow ^ addressLow) & mask.low == 0 ? hit : nil
    }

    @inline(__always)
    private func fact(_ run: Int, at section: Int, _ lengthBits: Int) -> Hit {
        let bits = lengthBits + layout.sourceBits
        let bit = run * bits
        let word = unsafe base.loadUnaligned(fromByteOffset: section + bit >> 3, as: UInt64.self) >> UInt64(bit & 7)
        return Hit(
            source: UInt32(truncatingIfNeeded: word >> UInt64(lengthBits) & (1 << UInt64(layout.sourceBits) - 1)),
            length: UInt8(truncatingIfNeeded: word & (1 << UInt64(lengthBits) - 1)))
    }
}
