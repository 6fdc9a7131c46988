import TestPackets
import Testing
import Wire

@Suite struct ChecksumTests {
    // The example of RFC 1071 section 3.
    @Test func theExampleOfItsSpecification() {
        let bytes: [UInt8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]
        #expect(Checksum.fold(Checksum.sum(bytes.span.bytes)) == 0xddf2)
    }

    @Test func anyBytesAgreeWithTheNaiveSum() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        for round in 0..<3000 {
            let count = round < 70 ? round : Int.random(in: 0...2000, using: &generator)
            let fill: UInt8? = round % 5 == 0 ? [0, 0xff].randomElement(using: &generator) : nil
            let bytes = (0..<count).map { _ in fill ?? UInt8.random(in: 0...255, using: &generator) }
            let sum = Checksum.fold(Checksum.sum(bytes.span.bytes))
            #expect(sum == TestPackets.sum(bytes), "seed \(seed), round \(round)")
        }
        let largest = [UInt8](repeating: 0xff, count: 65_535)
        #expect(Checksum.fold(Checksum.sum(largest.span.bytes)) == TestPackets.sum(largest))
    }

    @Test func foldingKeepsTheValueModulo65535() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        for value in [0, 1, 0xffff, 0x1_0000, 0x1_fffe, 0xffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_0000_0000_ffff]
            + (0..<2000).map({ _ in UInt64.random(in: 0 ... .max, using: &generator) })
        {
            let folded = Checksum.fold(value)
            #expect(UInt64(folded) % 65535 == value % 65535, "\(value)")
            #expect((folded == 0) == (value == 0), "ones' complement has two zeros; only nothing sums to the first")
        }
    }

    /// RFC 1624: a change by the difference gives what a sum over all gives, both zeros taken as one.
    @Test func adjustingAgreesWithRecomputing() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        for round in 0..<5000 {
            // Few distinct words, so that sums of 0 and 65535 come up often.
            let word = { (generator: inout SeededGenerator) -> Int in
                [0, 0, 0xffff, 0xffff, 1, 0xfffe, Int.random(in: 0...65535, using: &generator)]
                    .randomElement(using: &generator)!
            }
            let rest = (0..<6).flatMap { _ in TestPackets.big16(word(&generator)) }
            let old = (0..<4).flatMap { _ in TestPackets.big16(word(&generator)) }
            let new = (0..<4).flatMap { _ in TestPackets.big16(word(&generator)) }
            let oldSum = Checksum.sum(old.span.bytes)
            let newSum = Checksum.sum(new.span.bytes)

            let adjusted = Checksum.adjust(TestPackets.checksum(old + rest), old: oldSum, new: newSum)
            let sum = TestPackets.sum(new + rest + TestPackets.big16(Int(adjusted)))
            #expect(sum == 0xffff || new + rest == [UInt8](repeating: 0, count: 20), "seed \(seed), round \(round)")

            let partial = Checksum.adjustPartial(TestPackets.sum(old + rest), old: oldSum, new: newSum)
            #expect(partial % 65535 == TestPackets.sum(new + rest) % 65535, "seed \(seed), round \(round)")
        }
        // RFC 1624 section 4: where equation 2 of RFC 1141 fails.
        #expect(Checksum.adjust(0xdd2f, old: 0x5555, new: 0x3285) == 0x0000)
    }

    @Test func pseudoHeaders() {
        for (from, to) in [
            ("192.0.2.7", "255.255.255.255"), ("2001:db8::7", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            for length in [0, 8, 1500, 65_535] {
                let sum = Checksum.pseudoHeader(IPAddress(from)!, IPAddress(to)!, 17, length: length)
                #expect(Checksum.fold(sum) == TestPackets.sum(TestPackets.pseudoHeader(from, to, 17, length)))
            }
        }
    }
}
