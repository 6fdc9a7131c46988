import Kernel
import Testing
import Wire

@Suite struct SocketAddressTests {
    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1:53"), ("192.0.2.1:5353", "192.0.2.1:5353"), ("192.0.2.1@5353", "192.0.2.1:5353"),
        ("2001:db8::1", "[2001:db8::1]:53"), ("[2001:db8::1]", "[2001:db8::1]:53"),
        ("[2001:db8::1]:5353", "[2001:db8::1]:5353"), ("2001:db8::1@5353", "[2001:db8::1]:5353"),
        ("fe80::1", "[fe80::1]:53"), ("fe80::1%lo", "[fe80::1%lo]:53"), ("fe80::1%1", "[fe80::1%lo]:53"),
        ("[fe80::1%lo]:5353", "[fe80::1%lo]:5353"), ("fe80::1%lo@5353", "[fe80::1%lo]:5353"),
        ("fe80::1%4000000000", "[fe80::1%4000000000]:53"),
    ])
    func readsWhatItPrints(_ text: String, _ printed: String) throws {
        let address = try #require(SocketAddress(text, defaultPort: 53))
        #expect(address.description == printed)
        #expect(SocketAddress(printed, defaultPort: 1) == address)
        #expect(SocketAddress(address.host, defaultPort: address.port) == address)
    }

    @Test(arguments: [
        "", "dns.example", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1%lo", "2001:db8::1%lo", "fe80::1%", "fe80::1%0",
        "fe80::1%no-such-link", "fe80::1%lo%lo", "[fe80::1]%lo", "[fe80::1%lo", "[2001:db8::1]5353",
    ])
    func refuses(_ text: String) {
        #expect(SocketAddress(text, defaultPort: 53) == nil)
    }

    @Test func theKernelGetsTheScope() throws {
        let address = try #require(SocketAddress("fe80::1%lo", defaultPort: 53))
        let copy = address.withSockaddr { pointer, size in
            SocketAddress.filled { storage, count in
                UnsafeMutableRawPointer(storage).copyMemory(from: pointer, byteCount: Int(size))
                count = size
            }
        }
        #expect(copy == address && copy?.scope == 1)
    }
}
