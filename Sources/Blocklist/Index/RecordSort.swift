/// Sorts records by their keys, which begin with a hash: one scatter by the top bits, then insertion within buckets of a few records.
///
/// Hashes are spread evenly, so that takes linear time; buckets that are not small (hashes cut short) are sorted by
/// comparison.
enum RecordSort {
    static func sort(_ records: inout [IndexBuilder.Record], perBucket: Int) {
        guard records.count > 1 else { return }
        var bits = 0
        while records.count >> bits > max(1, min(perBucket, 32)) { bits += 1 }
        var places = [UInt32](repeating: 0, count: (1 << bits) + 1)
        let shift = UInt64(64 - bits)
        // A shift by 64 gives 0: one bucket.
        for record in records { places[Int(record.key >> shift) + 1] += 1 }
        for bucket in 1..<places.count { places[bucket] += places[bucket - 1] }
        let count = records.count
        let sorted = unsafe [IndexBuilder.Record](unsafeUninitializedCapacity: count) { out, initialized in
            for record in records {
                let bucket = Int(record.key >> shift)
                unsafe (out.baseAddress! + Int(places[bucket])).initialize(to: record)
                places[bucket] += 1
            }
            initialized = count
            // Now `places[bucket]` is where the bucket ends.
            var start = 0
            for bucket in 0..<1 << bits {
                let end = Int(places[bucket])
                if end - start > 256 {
                    unsafe out[start..<end].sort { $0.key < $1.key }
                } else {
                    unsafe insert(out.baseAddress! + start, end - start)
                }
                start = end
            }
        }
        records = sorted
    }

    @inline(__always)
    private static func insert(_ records: UnsafeMutablePointer<IndexBuilder.Record>, _ count: Int) {
        guard count > 1 else { return }
        for next in 1..<count {
            let record = unsafe records[next]
            var place = next
            while place > 0, unsafe records[place - 1].key > record.key {
                unsafe records[place] = records[place - 1]
                place -= 1
            }
            unsafe records[place] = record
        }
    }
}
