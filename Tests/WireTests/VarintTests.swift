import Testing
import Wire

@Suite struct VarintTests {
    @Test(
        arguments: [
            (0, [0x00]), (1, [0x01]), (127, [0x7f]), (128, [0x80, 0x01]), (300, [0xac, 0x02]),
            (UInt64.max, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] as [(UInt64, [UInt8])])
    func bytes(_ value: UInt64, _ expected: [UInt8]) {
        var bytes: [UInt8] = []
        Varint.append(value, to: &bytes)
        #expect(bytes == expected)
        var offset = 0
        #expect(Varint.read(bytes.span.bytes, &offset) == value)
        #expect(offset == bytes.count)
    }

    @Test(
        arguments: [
            [], [0x80], [0xff, 0xff], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        ] as [[UInt8]])
    func cutOrTooLong(_ bytes: [UInt8]) {
        var offset = 0
        #expect(Varint.read(bytes.span.bytes, &offset) == nil)
    }
}
