import Wire

/// A table of prefixes, borrowed from whoever owns its memory: the longest prefix that holds an address.
///
/// An IPv4 address costs about three cache lines: its bucket, the bucket's starts, the facts of one run. An IPv6 address
/// costs a search among the fences and one in the block behind a fence. Nothing allocates.
@safe
struct PrefixTable: @unchecked Sendable {
    /// What holds an address.
    struct Hit: Equatable {
        /// As given to the builder.
        var source: UInt32
        /// Bits of the prefix.
        var length: UInt8
    }

    private let base: UnsafeRawPointer

    /// - Parameter base: the first byte of a table that `PrefixTableBuilder` made, aligned to 8 bytes.
    @unsafe
    init(_ base: UnsafeRawPointer) {
        unsafe self.base = unsafe base
    }

    /// Different prefixes.
    var count: Int { word(.prefixes) }

    /// A word of the head, which stays in the cache.
    @inline(__always)
    private func word(_ word: PrefixLayout.Word) -> Int {
        unsafe Int(base.load(fromByteOffset: word.rawValue * 8, as: UInt64.self))
    }

    func longest(_ address: IPAddress) -> Hit? {
        address.isIPv6 ? find(address.high, address.low) : find(UInt32(truncatingIfNeeded: address.low))
    }

    /// What speaks when a source does not: the next prefix around its own, or an equal one of another source. Sources that
    /// several prefixes have have one of theirs.
    func outer(_ source: UInt32) -> Hit? {
        let outers = word(.outers)
        var low = 0
        var high = word(.outerCount)
        while low < high {
            let middle = (low + high) / 2
            let record = unsafe base + outers + middle * PrefixLayout.outerSize
            let found = unsafe record.load(as: UInt32.self)
            if found == source {
                return unsafe Hit(
                    source: record.load(fromByteOffset: 4, as: UInt32.self),
                    length: record.load(fromByteOffset: 8, as: UInt8.self))
            }
            if found < source { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    /// How many times `outer` can lead from one to another.
    var outerCount: Int { word(.outerCount) }

    private func find(_ address: UInt32) -> Hit? {
        guard word(.runs4) > 0 else { return nil }
        let bucket = PrefixLayout.headSize + Int(address >> 16) * 4
        var low = unsafe Int(base.load(fromByteOffset: bucket, as: UInt32.self))
        var high = unsafe Int(base.load(fromByteOffset: bucket + 4, as: UInt32.self))
        let rest = UInt16(truncatingIfNeeded: address)
        guard low < high, start(low) <= rest else { return nil }
        while high - low > 1 {
            let middle = (low + high) / 2
            if start(middle) <= rest { low = middle } else { high = middle }
        }
        let hit = fact(low, at: word(.facts4), PrefixLayout.lengthBits4)
        // Shorter prefixes hold all that follows in the bucket: a shift by 16 or more gives 0.
        return (start(low) ^ rest) >> UInt16(32 - hit.length) == 0 ? hit : nil
    }

    @inline(__always)
    private func start(_ run: Int) -> UInt16 {
        unsafe base.load(fromByteOffset: word(.starts4) + run * 2, as: UInt16.self)
    }

    private func find(_ addressHigh: UInt64, _ addressLow: UInt64) -> Hit? {
        let runs = word(.runs6)
        guard runs > 0 else { return nil }
        let fences = word(.fences)
        let highs = word(.highs)
        let lows = word(.lows)
        /// Whether the address at two places is at or before the one looked for.
        @inline(__always)
        func isAtOrBefore(_ highPlace: Int, _ lowPlace: Int) -> Bool {
            let start = unsafe base.load(fromByteOffset: highPlace, as: UInt64.self)
            if start != addressHigh { return start < addressHigh }
            return unsafe base.load(fromByteOffset: lowPlace, as: UInt64.self) <= addressLow
        }
        guard isAtOrBefore(fences, fences + 8) else { return nil }
        var low = 0
        var high = word(.fenceCount)
        while high - low > 1 {
            let middle = (low + high) / 2
            let place = fences + middle * 16
            if isAtOrBefore(place, place + 8) { low = middle } else { high = middle }
        }
        high = min((low + 1) * PrefixLayout.block, runs)
        low *= PrefixLayout.block
        while high - low > 1 {
            let middle = (low + high) / 2
            if isAtOrBefore(highs + middle * 8, lows + middle * 8) { low = middle } else { high = middle }
        }
        let hit = fact(low, at: word(.facts6), PrefixLayout.lengthBits6)
        let mask = IPPrefix.mask(length: Int(hit.length), isIPv6: true)
        let startHigh = unsafe base.load(fromByteOffset: highs + low * 8, as: UInt64.self)
        let startLow = unsafe base.load(fromByteOffset: lows + low * 8, as: UInt64.self)
        return (startHigh ^ addressHigh) & mask.high == 0 && (startLow ^ addressLow) & mask.low == 0 ? hit : nil
    }

    @inline(__always)
    private func fact(_ run: Int, at section: Int, _ lengthBits: Int) -> Hit {
        let sourceBits = word(.sourceBits)
        let bits = lengthBits + sourceBits
        let bit = run * bits
        let fact = unsafe base.loadUnaligned(fromByteOffset: section + bit >> 3, as: UInt64.self) >> UInt64(bit & 7)
        return Hit(
            source: UInt32(truncatingIfNeeded: fact >> UInt64(lengthBits) & (1 << UInt64(sourceBits) - 1)),
            length: UInt8(truncatingIfNeeded: fact & (1 << UInt64(lengthBits) - 1)))
    }
}
