import Kernel
import Testing

@testable import PacketTunnel

@Suite("CaptureError")
struct CaptureErrorTests {
    /// Each error names what failed and what to do about it.
    static let texts: [(error: CaptureError, text: String)] = [
        (
            .noTunDriver,
            """
            /dev/net/tun is missing: load the driver with `modprobe tun`; in a container, start it with \
            `--device /dev/net/tun`
            """
        ),
        (
            .noRights("open /dev/net/tun"),
            """
            open /dev/net/tun: not permitted: run as root, or with the capabilities CAP_NET_ADMIN and CAP_BPF
            """
        ),
        (
            .noTCX,
            """
            capture `link` needs TCX, which this kernel lacks (Linux 6.6 has it): use `--capture route`, or `auto`
            """
        ),
        (
            .deviceInUse("webtun0"),
            """
            the network device webtun0 is in use: stop the program that owns it (another webtun?), remove it \
            (`webtun cleanup`, or `ip link delete webtun0`), or configure another device name
            """
        ),
        (
            .badDeviceName("a b"),
            "`a b` cannot name a network device: 1 to 15 characters, no space and no `/`"
        ),
        (
            .tableInUse(7774, what: "ip route show table 7774"),
            """
            table or rule in use: routing table 7774 is not free (ip route show table 7774): configure another table, \
            or run `webtun cleanup` if a webtun that died left it
            """
        ),
        (
            .programRefused("Invalid argument", log: "R1 type=scalar expected=ctx"),
            "the kernel refuses the capture programs: Invalid argument\nR1 type=scalar expected=ctx"
        ),
        (.programRefused("Invalid argument", log: ""), "the kernel refuses the capture programs: Invalid argument"),
        (.journal(path: "/s/undo.json", reason: "cannot be written: x"), "/s/undo.json: cannot be written: x"),
        (.kernel(KernelError("list the links", Errno(105))), "list the links: No buffer space available"),
    ]

    @Test("says what to do", arguments: texts.indices)
    func description(index: Int) {
        let (error, text) = CaptureErrorTests.texts[index]
        #expect(error.description == text)
    }

    @Test("missing rights have an error of their own", arguments: [1, 13] as [Int32])
    func rights(code: Int32) {
        #expect(CaptureError.from(KernelError("bring x up", Errno(code))) == .noRights("bring x up"))
        #expect(CaptureError.from(KernelError("bring x up", Errno(19))) == .kernel(.init("bring x up", Errno(19))))
    }
}
