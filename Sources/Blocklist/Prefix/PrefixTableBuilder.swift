import Wire

/// Makes a table of prefixes (`PrefixLayout`) of prefixes added one by one. One thread; about 32 bytes a prefix.
struct PrefixTableBuilder {
    private var four = PrefixRuns<UInt32>()
    private var six = PrefixRuns<UInt128>()

    mutating func reserve(_ count: Int) {
        four.reserve(count)
    }

    /// - Parameter source: where the prefix comes from; of equal prefixes the lowest speaks.
    mutating func add(_ prefix: IPPrefix, source: UInt32) {
        let (address, length) = (prefix.address, UInt8(prefix.length))
        if address.isIPv6 {
            six.add(UInt128(address.high) << 64 | UInt128(address.low), length: length, source: source)
        } else {
            four.add(UInt32(truncatingIfNeeded: address.low), length: length, source: source)
        }
    }

    /// The table's bytes.
    consuming func finish() -> [UInt8] {
        let (found4, prefixes4, outers4) = four.finish()
        let (runs6, prefixes6, outers6) = six.finish()
        let runs4 = PrefixTableBuilder.split(found4)
        let highest = max(runs4.lazy.map(\.source).max() ?? 0, runs6.lazy.map(\.source).max() ?? 0)
        let layout = PrefixLayout(
            runs4: runs4.count, runs6: runs6.count, sourceBits: max(1, 32 - highest.leadingZeroBitCount),
            outerCount: outers4.count + outers6.count)
        var bytes = [UInt8](repeating: 0, count: layout.size)
        for (word, value) in layout.head(prefixes: prefixes4 + prefixes6) {
            bytes.put(UInt64(value), at: word.rawValue * 8)
        }
        let bits4 = PrefixLayout.lengthBits4 + layout.sourceBits
        var bucket = 0
        for (index, run) in runs4.enumerated() {
            while bucket <= Int(run.start >> 16) {
                bytes.put(UInt32(index), at: PrefixLayout.headSize + bucket * 4)
                bucket += 1
            }
            bytes.put(UInt16(truncatingIfNeeded: run.start), at: layout.starts4 + index * 2)
            bytes.pack(UInt64(run.source) << 6 | UInt64(run.length), index, bits4, at: layout.facts4)
        }
        while !runs4.isEmpty && bucket <= 65_536 {
            bytes.put(UInt32(runs4.count), at: PrefixLayout.headSize + bucket * 4)
            bucket += 1
        }
        let bits6 = PrefixLayout.lengthBits6 + layout.sourceBits
        for (index, run) in runs6.enumerated() {
            let (high, low) = (UInt64(truncatingIfNeeded: run.start >> 64), UInt64(truncatingIfNeeded: run.start))
            bytes.put(high, at: layout.highs + index * 8)
            bytes.put(low, at: layout.lows + index * 8)
            if index % PrefixLayout.block == 0 {
                bytes.put(high, at: layout.fences + index / PrefixLayout.block * 16)
                bytes.put(low, at: layout.fences + index / PrefixLayout.block * 16 + 8)
            }
            bytes.pack(UInt64(run.source) << 8 | UInt64(run.length), index, bits6, at: layout.facts6)
        }
        let outers =
            outers4.map { ($0.source, $0.outer, $0.length) } + outers6.map { ($0.source, $0.outer, $0.length) }
        for (index, outer) in outers.sorted(by: { $0 < $1 }).enumerated() {
            let place = layout.outers + index * PrefixLayout.outerSize
            bytes.put(outer.0, at: place)
            bytes.put(outer.1, at: place + 4)
            bytes.put(UInt32(outer.2), at: place + 8)
        }
        return bytes
    }

    /// Starts the runs of prefixes shorter than 16 bits again in each bucket that they reach into.
    private static func split(_ runs: [PrefixRuns<UInt32>.Run]) -> [PrefixRuns<UInt32>.Run] {
        guard runs.contains(where: { $0.length < 16 }) else { return runs }
        var result: [PrefixRuns<UInt32>.Run] = []
        for (index, run) in runs.enumerated() {
            result.append(run)
            guard run.length < 16 else { continue }
            let last = run.start | ~0 >> UInt32(run.length)
            let next = index + 1 < runs.count ? runs[index + 1].start : .max
            var bucket = (run.start >> 16) + 1
            while bucket <= last >> 16, index + 1 == runs.count || bucket << 16 < next {
                result.append(.init(start: bucket << 16, length: run.length, source: run.source))
                bucket += 1
            }
        }
        return result
    }
}

extension [UInt8] {
    /// Writes an integer, little-endian.
    fileprivate mutating func put(_ value: some FixedWidthInteger, at place: Int) {
        for byte in 0..<value.bitWidth / 8 { self[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
    }

    /// Writes a run's length and source, `bits` wide, at its place in a packed section of zeros.
    fileprivate mutating func pack(_ fact: UInt64, _ index: Int, _ bits: Int, at section: Int) {
        var rest = fact << UInt64(index * bits & 7)
        var place = section + (index * bits) >> 3
        while rest != 0 {
            self[place] |= UInt8(truncatingIfNeeded: rest)
            rest >>= 8
            place += 1
        }
    }
}
