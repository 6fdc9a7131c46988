import Foundation
import Testing

/// Ordinary programs, which know nothing of webtun.
@Suite(.serialized) struct ClientTests {
    @Test(arguments: ["link", "route"])
    func digGlibcAndCurl(capture: String) async throws {
        try await World.with(
            capture: capture,
            prepare: { net, _ in
                try net.machine.resolvConf("nameserver \(Internet.resolverV4)\noptions timeout:2 attempts:2\n")
                try await net.internet.ip("addr add \(Internet.forwardedV4)/32 dev lo")
                let pages = net.lab.path("pages")
                try FileManager.default.createDirectory(atPath: pages, withIntermediateDirectories: true)
                try net.lab.write("a page", to: "pages/index.html")
                _ = try await net.internet.start(
                    ["busybox", "httpd", "-f", "-p", "\(Internet.forwardedV4):80", "-h", pages], log: "httpd")
            }
        ) { (world: World) async throws in
            let host = world.machine
            func dig(_ arguments: [String]) async throws -> [String] {
                try await host.must(["dig", "+short", "+tries=1"] + arguments).lines
            }
            #expect(try await dig(["web.allowed.example"]) == [Internet.forwardedV4])
            #expect(try await dig(["web.blocked.example"]) == ["0.0.0.0"])
            #expect(try await dig(["+tcp", "web.blocked.example", "AAAA"]) == ["::"])
            #expect(try await dig(["@\(Internet.resolverV6)", "web.blocked.example"]) == ["0.0.0.0"])
            // dig -x, +dnssec, +cookie, +subnet and the like have to come through.
            #expect(
                try await dig(["+dnssec", "+cookie", "+subnet=192.0.2.0/24", "rich.allowed.example"]) == [
                    Internet.forwardedV4
                ])
            #expect(
                try await dig(["+dnssec", "+cookie", "+subnet=192.0.2.0/24", "rich.blocked.example"]) == ["0.0.0.0"])

            let allowed = try await host.must(["getent", "ahostsv4", "libc.allowed.example"])
            #expect(allowed.text.contains(Internet.forwardedV4))
            // getaddrinfo sends A and AAAA at once from one socket.
            let both = try await host.must(["getent", "ahosts", "libc2.allowed.example"])
            #expect(
                both.text.contains(Internet.forwardedV4) && both.text.contains(Internet.forwardedV6), "\(both.text)")
            let blocked = try await host.run(["getent", "ahosts", "libc.blocked.example"])
            #expect(blocked.text.contains("0.0.0.0") && blocked.text.contains("::"), "\(blocked.text)")

            let page = try await host.must(["curl", "-sS", "-4", "--max-time", "10", "http://web.allowed.example/"])
            #expect(page.text == "a page")
            let refused = try await host.run(["curl", "-sS", "--max-time", "10", "http://web.blocked.example/"])
            #expect(refused.status == 7, "curl could not connect: \(refused)")
            #expect(!world.net.capture.holds(name: "web.blocked.example"))
            #expect(!world.net.capture.holds(name: "libc.blocked.example"))
        }
    }

    @Test func webtunsOwnQueryCommand() async throws {
        try await World.with { (world: World) async throws in
            let allowed = try await world.webtun.must(["query", "q.allowed.example"])
            #expect(allowed.text.contains(Internet.forwardedV4), "\(allowed.text)")
            let blocked = try await world.webtun(["query", "q.blocked.example", "A", "--tcp"])
            #expect(blocked.text.contains("0.0.0.0"), "\(blocked.text)\(blocked.errors)")
        }
    }
}
