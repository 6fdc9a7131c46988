import Testing
import Wire

@testable import Blocklist

struct IPPrefixTests {
    @Test(arguments: [
        ("203.0.113.7", "203.0.113.7", 32), ("203.0.113.0/24", "203.0.113.0/24", 24), ("0.0.0.0/0", "0.0.0.0/0", 0),
        ("203.0.113.7/32", "203.0.113.7", 32), ("2001:DB8::/32", "2001:db8::/32", 32), ("::/0", "::/0", 0),
        ("2001:db8:0:0::1/128", "2001:db8::1", 128), ("2001:db8:0:8000::/49", "2001:db8:0:8000::/49", 49),
    ])
    func reads(text: String, canonical: String, length: Int) throws {
        let prefix = try IPPrefix(text)
        #expect(prefix.description == canonical)
        #expect(prefix.length == length)
        #expect(try IPPrefix(canonical) == prefix)
    }

    @Test(arguments: [
        "", "/", "/24", "203.0.113.0/", "203.0.113.0/33", "203.0.113.0/-1", "203.0.113.0/+8", "203.0.113.0/24/8",
        "203.0.113.1/24", "203.0.113", "203.0.113.256", "203.0.113.01", "2001:db8::/129", "2001:db8::1/64", "x",
        "203.0.113.0 /24", "example.com/24", "203.0.113.0/٣",
    ])
    func refuses(text: String) {
        #expect(throws: BlocklistError.self) { _ = try IPPrefix(text) }
    }

    @Test func saysWhatToWrite() {
        #expect(throws: BlocklistError.badPrefix("203.0.113.9/24", "has bits behind the prefix; write 203.0.113.0/24"))
        {
            _ = try IPPrefix("203.0.113.9/24")
        }
    }

    @Test func containsWhatBeginsWithItsBits() throws {
        #expect(try IPPrefix("203.0.113.0/25").contains(#require(IPAddress("203.0.113.127"))))
        #expect(try !IPPrefix("203.0.113.0/25").contains(#require(IPAddress("203.0.113.128"))))
        #expect(try IPPrefix("0.0.0.0/0").contains(#require(IPAddress("255.255.255.255"))))
        #expect(try !IPPrefix("0.0.0.0/0").contains(#require(IPAddress("::1"))))
        #expect(try IPPrefix("2001:db8::/65").contains(#require(IPAddress("2001:db8::7fff:ffff:ffff:ffff"))))
        #expect(try !IPPrefix("2001:db8::/65").contains(#require(IPAddress("2001:db8::8000:0:0:0"))))
    }
}
