internal import Wire

/// Counts of latencies in buckets that are at most 1/32 wide of their value, so percentiles are right to about 3 %.
///
/// Values below 64 µs have buckets of their own; above, every power of two is divided into 32. A value; any thread.
public struct LatencyHistogram: Sendable, Equatable {
    private var buckets = [Int](repeating: 0, count: 64 + 32 * 58)
    public private(set) var count = 0
    /// The largest value, exact, in microseconds.
    public private(set) var maximum: Int64 = 0
    private var sum: Int64 = 0

    public init() {}

    /// Adds a latency in microseconds, `times` times; negative ones count as 0.
    public mutating func add(_ microseconds: Int64, times: Int = 1) {
        let value = max(0, microseconds)
        buckets[LatencyHistogram.bucket(value)] &+= times
        count &+= times
        sum &+= value &* Int64(times)
        maximum = max(maximum, value)
    }

    /// Microseconds; nil without values.
    public var mean: Int64? { count == 0 ? nil : sum / Int64(count) }

    /// The latency that the given share (0…1) of the values does not exceed, in microseconds: the middle of its bucket.
    public func percentile(_ share: Double) -> Int64? {
        guard count > 0 else { return nil }
        let wanted = min(count, max(1, Int((share * Double(count)).rounded(.up))))
        var seen = 0
        for (index, number) in buckets.enumerated() {
            seen &+= number
            if seen >= wanted { return min(maximum, LatencyHistogram.middle(index)) }
        }
        return maximum
    }

    /// Adds everything that another histogram counted.
    public mutating func merge(_ other: LatencyHistogram) {
        guard other.count > 0 else { return }
        for index in buckets.indices { buckets[index] += other.buckets[index] }
        count += other.count
        sum &+= other.sum
        maximum = max(maximum, other.maximum)
    }

    /// Sum, maximum, the number of buckets in use, then of each the difference to the index before and its count, as
    /// varints.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return bytes
    }

    func append(to bytes: inout [UInt8]) {
        Varint.append(UInt64(max(0, sum)), to: &bytes)
        Varint.append(UInt64(maximum), to: &bytes)
        Varint.append(UInt64(buckets.count { $0 > 0 }), to: &bytes)
        var last = 0
        for (index, number) in buckets.enumerated() where number > 0 {
            Varint.append(UInt64(index - last), to: &bytes)
            Varint.append(UInt64(number), to: &bytes)
            last = index
        }
    }

    /// Adds the counts that `bytes` hold from `offset` on, and moves `offset` behind them. What is no histogram adds
    /// what could be read.
    mutating func merge(_ bytes: RawSpan, _ offset: inout Int) {
        guard let total = Varint.read(bytes, &offset), let most = Varint.read(bytes, &offset),
            let used = Varint.read(bytes, &offset)
        else { return }
        sum &+= Int64(truncatingIfNeeded: total)
        maximum = max(maximum, Int64(clamping: most))
        var index: UInt64 = 0
        for _ in 0..<used {
            guard let step = Varint.read(bytes, &offset), let number = Varint.read(bytes, &offset) else { return }
            index &+= step
            guard index < UInt64(buckets.count), number < 1 << 48 else { return }
            buckets[Int(index)] &+= Int(number)
            count &+= Int(number)
        }
    }

    mutating func merge(_ bytes: RawSpan) {
        var offset = 0
        merge(bytes, &offset)
    }

    private static func bucket(_ value: Int64) -> Int {
        if value < 64 { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        return 64 + (exponent - 6) * 32 + Int(value >> (exponent - 5)) - 32
    }

    private static func middle(_ bucket: Int) -> Int64 {
        if bucket < 64 { return Int64(bucket) }
        let exponent = (bucket - 64) / 32 + 6
        let width = Int64(1) << (exponent - 5)
        return (Int64((bucket - 64) % 32) + 32) * width + width / 2
    }
}
