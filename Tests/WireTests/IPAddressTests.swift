import Glibc
import TestPackets
import Testing
import Wire

@Suite struct IPAddressTests {
    /// RFC 4291 section 2.2 in, RFC 5952 section 4 out.
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("192.0.2.1", "192.0.2.1"), ("::", "::"),
        ("::1", "::1"), ("1::", "1::"), ("2001:DB8::A", "2001:db8::a"), ("2001:0db8::0001", "2001:db8::1"),
        ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("0:0:1:0:0:0:0:0", "0:0:1::"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("::ffff:192.0.2.1", "::ffff:c000:201"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("fd77:6562:7475:6e00::1", "fd77:6562:7475:6e00::1"),
        ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
    ])
    func textIsReadAndWritten(text: String, canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
        var bytes = [UInt8](repeating: 0, count: address.byteCount)
        var span = bytes.mutableSpan
        var out = span.mutableBytes
        address.compose(into: &out, at: 0)
        #expect(bytes == TestPackets.address(text))
        #expect(IPAddress(bytes.span.bytes, at: 0, isIPv6: address.isIPv6) == address)
    }

    @Test(arguments: [
        "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "01.2.3.4", "1.2.3.04",
        "1.2.3.-4",
        "1.2.3.+4", "1.2.3.4 ", "a.b.c.d", "0x1.2.3.4", "1.2.3.1000", ":", ":::", "1", "1:2", "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9", "1::2::3", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "::12345", "::g", "::-1", "::+1",
        "1:2:3:4:5:6:7::8", "::1:2:3:4:5:6:7:8", "::1.2.3", "::1.2.3.4:5", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4",
        "::1%eth0", "[::1]", "::1/64", "::١", "1.2.3.٤", ":::1", "1:::2", "::0.0.0.256",
    ])
    func whatIsNoAddressIsRefused(text: String) {
        #expect(IPAddress(text) == nil)
    }

    /// Against the C library, whose text differs only where RFC 5952 section 5 asks for dotted decimal.
    @Test func anyAddressSurvivesItsText() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        for _ in 0..<3000 {
            let bytes = (0..<16).flatMap { _ in
                Bool.random(using: &generator) ? [0, 0] : [UInt8.random(in: 0...255, using: &generator), 0x0a]
            }[..<16]
            let address = IPAddress(Array(bytes).span.bytes, at: 0, isIPv6: true)
            var text = [CChar](repeating: 0, count: 46)
            _ = inet_ntop(AF_INET6, Array(bytes), &text, 46)
            let expected = String(decoding: text.prefix { $0 != 0 }.map { UInt8($0) }, as: UTF8.self)
            if !expected.contains(".") { #expect(address.description == expected, "seed \(seed)") }
            #expect(IPAddress(address.description) == address, "seed \(seed)")
            #expect(IPAddress(expected) == address, "seed \(seed)")
        }
    }

    @Test func kinds() {
        let kind = { (text: String) -> [Bool] in
            let address = IPAddress(text)!
            return [address.isLoopback, address.isUnspecified, address.isLinkLocal, address.isMulticastOrBroadcast]
        }
        #expect(["127.0.0.1", "127.255.0.1", "::1"].allSatisfy { kind($0) == [true, false, false, false] })
        #expect(["0.0.0.0", "::"].allSatisfy { kind($0) == [false, true, false, false] })
        #expect(["169.254.1.1", "fe80::1", "febf::"].allSatisfy { kind($0) == [false, false, true, false] })
        #expect(
            ["224.0.0.1", "239.9.9.9", "255.255.255.255", "ff02::1"].allSatisfy {
                kind($0) == [false, false, false, true]
            })
        #expect(
            ["128.0.0.1", "169.253.0.1", "223.9.9.9", "240.0.0.1", "fec0::1", "fe7f::1", "::2", "0.0.0.1"].allSatisfy {
                kind($0) == [false, false, false, false]
            })
        #expect(IPAddress("0.0.0.0") != IPAddress("::"))
    }
}
