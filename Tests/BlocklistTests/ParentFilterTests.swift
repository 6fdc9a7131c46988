import Testing

@testable import Blocklist

struct ParentFilterTests {
    /// Every parent is found, whatever their number, and not many others are; the bitmap is as small as said.
    @Test(arguments: [0, 1, 30, 100, 5_000, 100_000])
    func findsAllParentsAndFewOthers(count: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("ParentFilterTests seed \(seed)")
        var random = Seeded(state: seed)
        let places = (0..<count).map { _ in random.next() }
        var filter = ParentFilter()
        // As often as names are below them.
        for place in places + places.reversed() { filter.add(place) }
        let (words, bits) = filter.finish()
        #expect(words.count == 1 << (bits - 6))

        func has(_ place: UInt64) -> Bool {
            let bit = Int(place >> UInt64(64 - bits))
            return words[bit >> 6] >> UInt64(bit & 63) & 1 != 0
        }
        #expect(places.allSatisfy(has))
        let others = (0..<20_000).count { _ in has(random.next()) }
        #expect(others < 20_000 / 5, "\(others) of 20,000")
        if count >= 100 { #expect((5...13).contains((1 << bits) / count), "\((1 << bits) / count) bits each") }
    }
}
