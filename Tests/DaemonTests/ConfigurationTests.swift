import Export
import Foundation
import Kernel
import Testing
import Wire

@testable import Daemon

@Suite struct ConfigurationTests {
    func problems(_ text: String) throws -> [String] {
        let folder = try Folder()
        let file = try folder.write("c.toml", text)
        do {
            _ = try Configuration.load(file: file)
            return []
        } catch {
            return error.problems.map { $0.description.replacingOccurrences(of: folder.path + "/", with: "") }
        }
    }

    func load(_ text: String, _ overrides: [Configuration.Override] = []) throws -> Configuration {
        let folder = try Folder()
        return try Configuration.load(file: try folder.write("c.toml", text), overrides: overrides)
    }

    @Test func theShippedFileHoldsEveryKeyWithItsDefault() throws {
        let file = packageFolder + "/etc/webtun.toml"
        let shipped = try Configuration.load(file: file)
        for setting in Configuration.settings {
            #expect(setting.value(shipped) == setting.value(Configuration()), "\(setting.key)")
            guard case .file(file, let line) = shipped.origin(of: setting.key) else {
                Issue.record("\(setting.key) is missing in etc/webtun.toml")
                continue
            }
            let text = try String(contentsOfFile: file, encoding: .utf8).split(
                separator: "\n", omittingEmptySubsequences: false)[line - 1]
            #expect(text.hasPrefix(setting.key.split(separator: ".")[1] + " = "))
        }
    }

    @Test func everyKeyIsRead() throws {
        let configuration = try load(
            """
            [capture]
            backend = "route"
            mode = "dns"
            links = ["eth0", "wlan0"]
            serve = ["docker0"]
            mark = 0xff
            table = 99
            fail = "open"
            [tunnel]
            name = "tun7"
            address = "192.0.2.1"
            peer = "192.0.2.2"
            address6 = "2001:db8::1"
            peer6 = "2001:db8::2"
            mtu = 1400
            offloads = false
            include = ["203.0.113.0/24", "2001:db8::1"]
            exclude = ["203.0.113.7"]
            exclude_local = false
            [flows]
            default = "deny"
            drop = "silent"
            capacity = 2000
            fast_path = false
            [dns]
            upstream = ["198.51.100.1", "[2001:db8::53]:5353"]
            blocking_mode = "custom"
            blocking_addresses = ["203.0.113.1", "2001:db8::99"]
            blocking_ttl = 0
            cache_bytes = 1_000_000
            max_ttl = 3600
            max_negative_ttl = 5
            listener_port = 5354
            tcp_idle_seconds = 3
            tcp_connections = 7
            [log]
            enabled = false
            ring_bytes = 65536
            waiting_bytes = 2_000_000
            max_age = "1d12h"
            max_blocked_age = "30d"
            max_bytes = 0
            max_rows = 5
            privacy = "no-names"
            client_prefix = 24
            client_prefix6 = 0
            [owners]
            cgroup = "none"
            [metrics]
            listen = "192.0.2.1:9953"
            [dnstap]
            to = "unix:/run/dnstap.sock"
            queries = true
            identity = "box"
            [events]
            to = "syslog"
            queries = "blocked"
            [lists]
            starter = ""
            """)
        var expected = Configuration()
        expected.capture.backend = .route
        expected.capture.links = ["eth0", "wlan0"]
        expected.capture.serve = ["docker0"]
        expected.capture.mark = 255
        expected.capture.table = 99
        expected.capture.fail = .open
        expected.tunnel.name = "tun7"
        expected.tunnel.address = IPAddress("192.0.2.1")!
        expected.tunnel.peer = IPAddress("192.0.2.2")!
        expected.tunnel.address6 = IPAddress("2001:db8::1")!
        expected.tunnel.peer6 = IPAddress("2001:db8::2")!
        expected.tunnel.mtu = 1400
        expected.tunnel.offloads = false
        expected.tunnel.include = [Prefix("203.0.113.0/24")!, Prefix("2001:db8::1/128")!]
        expected.tunnel.exclude = [Prefix("203.0.113.7")!]
        expected.tunnel.excludesLocal = false
        expected.flows.standard = .deny
        expected.flows.drop = .silent
        expected.flows.capacity = 2000
        expected.flows.fastPath = false
        expected.dns.upstream = [
            SocketAddress(IPAddress("198.51.100.1")!, port: 53), SocketAddress(IPAddress("2001:db8::53")!, port: 5353),
        ]
        expected.dns.blockingMode = .custom
        expected.dns.blockingAddresses = [IPAddress("203.0.113.1")!, IPAddress("2001:db8::99")!]
        expected.dns.blockingTTL = 0
        expected.dns.cacheBytes = 1_000_000
        expected.dns.maxNegativeTTL = 5
        expected.dns.maxTTL = 3600
        expected.dns.listenerPort = 5354
        expected.dns.tcpIdleSeconds = 3
        expected.dns.tcpConnections = 7
        expected.log.enabled = false
        expected.log.ringBytes = 65536
        expected.log.maxAge = 36 * 3600
        expected.log.maxBytes = 0
        expected.log.waitingBytes = 2_000_000
        expected.owners.cgroup = "none"
        expected.metrics.listen = SocketAddress(IPAddress("192.0.2.1")!, port: 9953)
        expected.dnstap.to = Endpoint("unix:/run/dnstap.sock")!
        expected.dnstap.queries = true
        expected.dnstap.identity = "box"
        expected.events.to = .localSyslog
        expected.events.queries = .blocked
        expected.log.maxBlockedAge = 30 * 86_400
        expected.log.maxRows = 5
        expected.log.privacy = .noNames
        expected.log.clientPrefix = 24
        expected.log.clientPrefix6 = 0
        expected.lists.starter = ""
        #expect(configuration.capture == expected.capture)
        #expect(configuration.tunnel == expected.tunnel)
        #expect(configuration.dns == expected.dns)
        #expect(configuration.log == expected.log)
        #expect(configuration.metrics == expected.metrics)
        #expect(configuration.dnstap == expected.dnstap)
        #expect(configuration.events == expected.events)
        #expect(configuration.lists == expected.lists)
        // Every key was in the text.
        #expect(Configuration.settings.allSatisfy { configuration.origin(of: $0.key) != .builtIn })
    }

    @Test(arguments: [
        ("[metrics]\nlisten = \"127.0.0.1\"\n", "c.toml:2: metrics.listen: must be an address and port"),
        ("[metrics]\nlisten = 9953\n", "c.toml:2: metrics.listen: must be an address and port"),
        ("[dnstap]\nto = \"udp:192.0.2.1:6000\"\n", "c.toml:2: dnstap.to: must be \"unix:/path\""),
        ("[dnstap]\nto = \"unix:tap.sock\"\n", "c.toml:2: dnstap.to: must be \"unix:/path\""),
        ("[events]\nto = \"tcp:192.0.2.1:514\"\n", "c.toml:2: events.to: must be \"stderr\""),
        ("[events]\nto = \"journal\"\nqueries = \"some\"\n", "c.toml:3: events.queries: must be \"none\""),
        ("[events]\nqueries = \"all\"\n", "c.toml:2: events.queries: needs events.to"),
    ])
    func refusesReceiversThatAreNone(_ text: String, _ start: String) throws {
        let found = try problems(text)
        #expect(found.count == 1 && found[0].hasPrefix(start), "\(found)")
    }

    @Test func refusesUnknownKeysWithTheirLine() throws {
        #expect(
            try problems("# a comment\n[dns]\n\nblocking_tl = 5\n[capture.more]\nx = 1\n[dsn]\nupstream = []\n")
                == [
                    "c.toml:4: dns.blocking_tl: unknown key; is dns.blocking_ttl meant?",
                    "c.toml:5: capture.more: unknown key; is capture.mode meant?",
                    "c.toml:7: dsn: unknown table",
                ])
        #expect(try problems("blocking_ttl = 5") == ["c.toml:1: blocking_ttl: unknown key; is dns.blocking_ttl meant?"])
        #expect(try problems("dns.\"x y\" = 5") == ["c.toml:1: dns.x y: unknown key"])
        #expect(try problems("dns = 5") == ["c.toml:1: dns: must be a table, [dns], not an integer"])
    }

    @Test(arguments: [
        ("dns.blocking_ttl = -1", "c.toml:1: dns.blocking_ttl: must be 0 to 604800, not -1"),
        ("dns.blocking_ttl = \"5\"", "c.toml:1: dns.blocking_ttl: must be an integer, 0 to 604800, not a string"),
        (
            "dns.blocking_ttl = 5.0",
            "c.toml:1: dns.blocking_ttl: must be an integer, 0 to 604800, not a floating-point number"
        ),
        ("dns.listener_port = 65536", "c.toml:1: dns.listener_port: must be 1 to 65535, not 65536"),
        ("log.enabled = 1", "c.toml:1: log.enabled: must be true or false, not an integer"),
        (
            "dns.blocking_mode = \"zero\"",
            "c.toml:1: dns.blocking_mode: must be \"null\", \"nxdomain\", \"nodata\", \"refused\" or \"custom\", not \"zero\""
        ),
        ("capture.mode = \"all\"", "c.toml:1: capture.mode: must be \"dns\" or \"full\", not \"all\""),
        (
            "[dns]\nupstream = [\n  \"192.0.2.1\",\n  \"localhost\" ]",
            "c.toml:2: dns.upstream: each must be an address with or without port, like \"192.0.2.53:53\", not \"localhost\""
        ),
        (
            "dns.upstream = \"192.0.2.1\"",
            "c.toml:1: dns.upstream: must be an array of strings, each an address with or without port, like \"192.0.2.53:53\", not a string"
        ),
        ("tunnel.address = \"::1\"", "c.toml:1: tunnel.address: must be an IPv4 address, not \"::1\""),
        ("tunnel.mtu = 65536", "c.toml:1: tunnel.mtu: must be 0 to 65535, not 65536"),
        (
            "tunnel.exclude = [\"192.0.2.0/33\"]",
            "c.toml:1: tunnel.exclude: each must be an address or a prefix, like \"192.0.2.0/24\" or \"2001:db8::/32\", not \"192.0.2.0/33\""
        ),
        ("flows.default = \"drop\"", "c.toml:1: flows.default: must be \"allow\" or \"deny\", not \"drop\""),
        ("capture.mark = 0", "c.toml:1: capture.mark: must be 0x1 to 0xffffffff, not 0"),
        ("capture.links = [\"a/b\"]", "c.toml:1: capture.links: each must be the name of a link, not \"a/b\""),
        ("capture.links = [\"webtun0\"]", "c.toml:1: capture.links: \"webtun0\" is webtun's own device"),
        ("[capture]\nlinks = [\"a\"]\nserve = [\"a\"]", "c.toml:3: capture.serve: \"a\" is in capture.links too"),
        ("[tunnel]\npeer = \"10.1.0.1\"", "c.toml:2: tunnel.peer: must differ from tunnel.address"),
        ("tunnel.mtu = 1279", "c.toml:1: tunnel.mtu: must be 1280 to 65535, or 0 for that of the links, not 1279"),
        ("dns.blocking_mode = \"custom\"", "c.toml:1: dns.blocking_mode: \"custom\" needs dns.blocking_addresses"),
        ("dns.upstream = [\"10.1.0.1\"]", "c.toml:1: dns.upstream: 10.1.0.1 is webtun's own address"),
        (
            "log.max_age = \"90\"",
            "c.toml:1: log.max_age: must be a time like \"12h\" or \"90d\", or \"0\" for no limit, not \"90\""
        ),
        (
            "log.max_age = 1979-05-27",
            "c.toml:1: log.max_age: must be a time like \"12h\" or \"90d\", or \"0\" for no limit, in quotes, not a date"
        ),
    ])
    func refusesWrongValuesWithTheirLine(_ text: String, _ problem: String) throws {
        #expect(try problems(text) == [problem])
    }

    @Test func refusesWhatIsNoTOML() throws {
        #expect(try problems("[dns]\nupstream = [\n").first?.hasPrefix("c.toml:") == true)
        #expect(try problems("[dns]\nblocking_ttl 5\n").first?.hasPrefix("c.toml:2: ") == true)
        #expect(try problems("[dns]\nblocking_ttl = 5\nblocking_ttl = 6\n").first?.hasPrefix("c.toml:3: ") == true)
        #expect(try problems("a\0b") == ["c.toml: holds a NUL byte; is it a text file?"])
    }

    @Test func refusesAMissingFile() throws {
        let folder = try Folder()
        #expect(
            throws: ConfigurationError(problems: [
                .init(place: folder.path + "/none.toml", key: nil, reason: "No such file or directory")
            ])
        ) { try Configuration.load(file: folder.path + "/none.toml") }
        #expect(
            throws: ConfigurationError(problems: [
                .init(place: folder.path, key: nil, reason: "Is a directory")
            ])
        ) { try Configuration.load(file: folder.path) }
    }

    @Test func theCommandLineWins() throws {
        let override = Configuration.Override("dns.upstream", .strings(["192.0.2.9:99"]), option: "--upstream")
        let configuration = try load("[dns]\nupstream = [\"192.0.2.1\"]\nmax_ttl = 2", [override])
        #expect(configuration.dns.upstream == [SocketAddress(IPAddress("192.0.2.9")!, port: 99)])
        #expect(configuration.origin(of: "dns.upstream") == .option("--upstream"))
        #expect(configuration.dns.maxTTL == 2)
        let wrong = Configuration.Override("dns.upstream", .strings(["x"]), option: "--upstream")
        #expect(
            throws: ConfigurationError(problems: [
                .init(
                    place: "--upstream", key: nil,
                    reason: "each must be an address with or without port, like \"192.0.2.53:53\", not \"x\"")
            ])
        ) { try load("", [wrong]) }
    }

    @Test func refusesServersThatWouldAskWebtun() throws {
        let folder = try Folder()
        let file = try folder.write("c.toml", "dns.upstream = [\"127.0.0.53\", \"192.0.2.1\", \"192.0.2.2\"]")
        let configuration = try Configuration.load(file: file)
        #expect(
            throws: ConfigurationError(problems: [
                .init(
                    place: "\(file):1", key: "dns.upstream",
                    reason: "127.0.0.53: a resolver on this machine asks through webtun and would be asked by it"),
                .init(place: "\(file):1", key: "dns.upstream", reason: "192.0.2.2: the address is this machine's"),
            ])
        ) { try configuration.checkUpstreams(machine: [IPAddress("192.0.2.2")!]) }
    }

    @Test func valuesPrintAsTheyAreRead() throws {
        // What `config show` prints is a file with the same values.
        var text = ""
        for setting in Configuration.settings {
            text += "\(setting.key) = \(setting.value(Configuration()))\n"
        }
        let again = try load(text)
        for setting in Configuration.settings { #expect(setting.value(again) == setting.value(Configuration())) }
        #expect(ConfigurationValue.string("a\"b\\\u{1}\n").description == "\"a\\\"b\\\\\\u0001\\n\"")
    }
}

@Suite struct TOMLLinesTests {
    @Test func findsEveryKindOfKey() {
        let text = """
            top = 1 # [not.a.table]
            dotted . key = 'x = 1'
            [a]
              b = \"""
            c = 5
            \\\"""\"""
              "quoted.key" = [ 1, # ]
                2 ] # two lines
              inline = { one = 1, two = { three = "}" } }
            [ a . 'd' ]
            e = \"\"
            f = '''
            '''
            [[list]]
            g = 1979-05-27 07:32:00
            h = true
            """
        let lines = TOMLLines(text).lines
        #expect(
            lines == [
                ["top"]: 1, ["dotted"]: 2, ["dotted", "key"]: 2, ["a"]: 3, ["a", "b"]: 4, ["a", "quoted.key"]: 7,
                ["a", "inline"]: 9, ["a", "inline", "one"]: 9, ["a", "inline", "two"]: 9,
                ["a", "inline", "two", "three"]: 9, ["a", "d"]: 10, ["a", "d", "e"]: 11, ["a", "d", "f"]: 12,
                ["list"]: 14, ["list", "g"]: 15, ["list", "h"]: 16,
            ])
        #expect(TOMLLines(text).line(of: ["a", "d", "unknown"]) == 10)
    }

    @Test func endsOnAnyText() {
        // Nothing to find, but it must end and must not trap.
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("[]{}=\"'.,#\\\n ab1".utf8)
        for _ in 0..<3000 {
            let text = String(
                decoding: (0..<Int.random(in: 0...24, using: &generator)).map { _ in alphabet.randomElement()! },
                as: UTF8.self)
            _ = TOMLLines(text)
        }
    }
}

/// What a running webtun takes from a changed configuration, and what the documentation says about it.
@Suite struct ReloadableTests {
    @Test func takesWhatItCanAndNamesTheRest() {
        var running = Configuration()
        var new = Configuration()
        new.capture.fail = .open
        new.capture.serve = ["br0"]
        new.dns.blockingMode = .custom
        new.dns.blockingAddresses = [IPAddress("192.0.2.1")!, IPAddress("2001:db8::1")!]
        new.dns.upstream = [
            SocketAddress("[fe80::1%lo]:5353", defaultPort: 53)!, SocketAddress("192.0.2.9", defaultPort: 53)!,
        ]
        new.log.maxAge = 3600
        new.log.ringBytes = 1 << 20
        new.tunnel.mtu = 1400
        let (taken, left) = running.follow(new)
        #expect(
            taken == [
                "capture.fail", "capture.serve", "dns.blocking_mode", "dns.blocking_addresses", "dns.upstream",
                "log.max_age",
            ])
        #expect(left == ["tunnel.mtu", "log.ring_bytes"])
        new.log.ringBytes = running.log.ringBytes
        new.tunnel.mtu = running.tunnel.mtu
        #expect(Configuration.settings.allSatisfy { $0.value(running) == $0.value(new) })
        #expect(running.follow(new).taken.isEmpty)
    }

    @Test func everyReloadableKeyIsAKey() {
        #expect(Configuration.reloadable.isSubset(of: Configuration.settings.map(\.key)))
    }

    /// One row a key in docs/configuration.md; the last column says when a change takes effect.
    @Test func theDocumentationSaysWhichIsWhich() throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/configuration.md")
        var found: [String: Bool] = [:]
        for line in try String(contentsOf: path, encoding: .utf8).split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 5 else { continue }
            for key in cells[0].split(separator: ",") {
                found[key.trimmingCharacters(in: CharacterSet(charactersIn: " `"))] = cells[4].hasPrefix("at once")
                #expect(["at once", "next start", "first run"].contains { cells[4].hasPrefix($0) }, "\(line)")
            }
        }
        for setting in Configuration.settings {
            #expect(found[setting.key] == Configuration.reloadable.contains(setting.key), "\(setting.key)")
        }
    }
}

@Suite struct SecondsTests {
    @Test(arguments: [("30s", 30), ("5m", 300), ("1h", 3600), ("7d", 604_800), ("1h30m", 5400), ("90m", 5400)])
    func reads(_ text: String, _ seconds: UInt64) {
        #expect(Seconds.parse(text) == seconds)
    }

    @Test(arguments: [
        "", "5", "m", "5x", "-5m", "5 m", "0s", "1m1h", "5m5m", "1.5h", "99999999999999999999s", "200000d",
    ])
    func refuses(_ text: String) {
        #expect(Seconds.parse(text) == nil)
    }

    @Test func printsWhatItReads() {
        for seconds in [1, 59, 60, 3599, 3600, 86_400, 90_061] as [UInt64] {
            #expect(Seconds.parse(Seconds.print(seconds)) == seconds)
        }
        #expect(Seconds.print(0) == "0s")
        #expect(Seconds.print(90_061) == "1d1h1m1s")
    }
}
