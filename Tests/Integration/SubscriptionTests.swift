import Foundation
import Testing

/// Lists on the web, from a real server (nginx) that behaves badly in every way a server can.
@Suite(.serialized) struct SubscriptionTests {
    static let web = Internet.forwardedV4
    static let list = "0.0.0.0 one.listed.example\n0.0.0.0 two.listed.example\n0.0.0.0 three.listed.example\n"

    /// What the web server gives.
    struct Site {
        let folder: String
        let log: String

        func write(_ text: String, to name: String) throws { try write(Data(text.utf8), to: name) }

        func write(_ data: Data, to name: String) throws {
            try data.write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
        }

        /// `status uri` a line.
        var requests: [String] {
            ((try? String(contentsOfFile: log, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
        }
    }

    static func serve(_ net: Internet) async throws -> Site {
        let folder = net.lab.path("site")
        try FileManager.default.createDirectory(atPath: "\(folder)/www", withIntermediateDirectories: true)
        try await net.internet.ip(
            """
            addr add \(web)/32 dev lo
            addr add \(Internet.escapedV4)/32 dev lo
            """)
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map { "\($0)_temp_path \(folder)/\($0);" }.joined()
        try net.lab.write(
            """
            daemon off;
            user root;
            worker_processes 1;
            pid \(folder)/pid;
            error_log \(folder)/error;
            events { worker_connections 64; }
            http {
                log_format short "$status $uri";
                access_log \(folder)/access short;
                default_type text/plain;
                gzip on;
                gzip_types text/plain;
                gzip_min_length 1;
                \(temporary)
                server {
                    listen \(web):80;
                    listen \(Internet.escapedV4):80;
                    root \(folder)/www;
                    location = /moved { return 301 /list; }
                    location = /around { return 302 /around; }
                    location = /nowhere { return 302 ftp://\(web)/list; }
                    location = /broken { return 503; }
                    location = /cut { add_header Content-Encoding gzip; gzip off; }
                }
            }

            """, to: "site/nginx.conf")
        _ = try await net.internet.start(
            ["nginx", "-e", "\(folder)/error", "-c", "\(folder)/nginx.conf"], log: "nginx")
        let site = Site(folder: "\(folder)/www", log: "\(folder)/access")
        try site.write(list, to: "list")
        let isUp = await eventually(within: 10) {
            (try? await net.internet.run(["curl", "-sS", "--max-time", "1", "http://\(web)/list"]).isFine) ?? false
        }
        guard isUp else { throw LabError("nginx does not answer") }
        return site
    }

    static func with(_ body: (Webtun, Site, Internet) async throws -> Void) async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let site = try await serve(net)
            try net.machine.resolvConf("nameserver \(Internet.resolverV4)\noptions timeout:2 attempts:2\n")
            try await body(try await Webtun.prepare(on: net.machine), site, net)
        }
    }

    @Test func fetchesOnlyWhatChanged() async throws {
        try await SubscriptionTests.with { webtun, site, _ in
            let added = try await webtun.must(["list", "add", "http://\(SubscriptionTests.web)/moved", "--name", "web"])
            #expect(added.text.contains("added 'web' (hosts): 3 names"))
            #expect(site.requests.suffix(2) == ["301 /moved", "200 /list"])
            #expect(try await webtun(["why", "one.listed.example"]).status == 3)

            #expect(try await webtun.must(["list", "update", "web"]).text == "unchanged 'web'\n")
            #expect(site.requests.last == "304 /list")
            #expect(try await webtun.must(["list", "update", "web", "--force"]).text.contains("updated 'web'"))
            #expect(site.requests.last == "200 /list")

            // nginx's ETag is of the time in seconds and the size.
            try site.write(SubscriptionTests.list + "0.0.0.0 four.listed.example\n", to: "list")
            #expect(try await webtun.must(["list", "update"]).text.contains("updated 'web' (hosts): 4 names"))
            #expect(try await webtun(["why", "four.listed.example"]).status == 3)
        }
    }

    /// Whatever comes instead of the list: a clear reason, status 1, and the last good names stay.
    @Test func whatIsNoListLeavesTheLastGoodOne() async throws {
        try await SubscriptionTests.with { webtun, site, net in
            let web = SubscriptionTests.web
            try await webtun.must(["list", "add", "http://\(web)/list", "--name", "web"])
            let packed = try await net.machine.must([
                "sh", "-c", "printf '\(SubscriptionTests.list)' | gzip -c | head -c 40 | base64",
            ])
            let cut = try #require(Data(base64Encoded: packed.text, options: .ignoreUnknownCharacters))

            func refused(_ reason: String) async throws {
                let output = try await webtun(["list", "update", "web", "--force"], seconds: 60)
                #expect(output.status == 1)
                #expect(output.errors.contains(reason), "\(output.errors)")
                #expect(output.errors.contains("its names stay as they were"))
                let shown = try await webtun(["list", "ls", "--json"])
                #expect(shown.text.contains("\"names\":3"), "\(shown.text)")
                #expect(shown.text.contains("\"error\":\""))
                #expect(try await webtun(["why", "two.listed.example"]).status == 3)
                let left = try FileManager.default.contentsOfDirectory(atPath: webtun.state)
                #expect(!left.contains { $0.hasPrefix("download-") }, "\(left)")
            }
            try site.write("<!DOCTYPE html>\n<html><body>Log in</body></html>\n", to: "list")
            try await refused("a web page or XML, not a list")
            try site.write("", to: "list")
            try await refused("the file is empty")
            try site.write("# nothing here\n", to: "list")
            try await refused("holds nothing")
            try site.write("0.0.0.0 one.listed.example\n", to: "list")
            try await refused("shrank from 3 names to 1, by more than 50 %")
            try site.write(Data([0xFF, 0xFE, 0x61, 0x00, 0x2E, 0x00]), to: "list")
            try await refused("UTF-16 text")
            try site.write(cut, to: "list")
            try await refused("packed with gzip, and cut or damaged")
            try FileManager.default.removeItem(atPath: "\(site.folder)/list")
            try await refused("the server answered 404")
            try await net.machine.must(["truncate", "-s", "10G", "\(site.folder)/list"])
            try await refused("larger than")
            try FileManager.default.removeItem(atPath: "\(site.folder)/list")

            // A smaller list is taken when that is asked for.
            try site.write("0.0.0.0 one.listed.example\n", to: "list")
            try await webtun.must(["list", "update", "web", "--max-shrink", "100%"])
            let shown = try await webtun(["list", "ls", "--json"])
            #expect(shown.text.contains("\"names\":1") && shown.text.contains("\"error\":null"))
            #expect(try await webtun(["why", "two.listed.example"]).status == 0)
        }
    }

    @Test func serversThatLeadAstray() async throws {
        try await SubscriptionTests.with { webtun, _, net in
            let web = SubscriptionTests.web
            func refused(_ url: String, _ reason: String) async throws {
                let output = try await webtun(["list", "add", url], seconds: 60)
                #expect(output.status == 1)
                #expect(output.errors.contains(reason), "\(output.errors)")
                #expect(try await webtun(["list", "ls", "--json"]).text.isEmpty)
            }
            try await refused("http://\(web)/around", "more than 10 redirects")
            try await refused("http://\(web)/nowhere", "a redirect to nowhere")
            try await refused("http://\(web)/broken", "the server answered 503")
            try await refused("http://\(web):81/list", "Failed to connect")
            try await refused("ftp://\(web)/list", "lists are fetched by http and https, not by ftp")
            // A server that goes away in the middle.
            _ = try await net.internet.start(
                [
                    "sh", "-c",
                    "printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\nads.example\\n' | busybox nc -l -p 8081",
                ], log: "cut")
            try await Task.sleep(for: .milliseconds(300))
            try await refused("http://\(web):8081/list", "transfer closed with")
        }
    }

    /// The running daemon fetches what is due, past its own filter: the server's name is blocked, and its own upstream
    /// knows where it is.
    @Test func theDaemonFetchesPastItsOwnFilter() async throws {
        try await SubscriptionTests.with { webtun, site, net in
            let daemon = try await webtun.start()
            #expect(
                try await Probe.ask(net.machine, server: Internet.resolverV4, "www.blocked.example").answer == [
                    "0.0.0.0"
                ])
            try await webtun.must(["list", "add", "http://www.blocked.example/list", "--name", "web", "--every", "1m"])
            #expect(try await webtun(["list", "ls", "--json"]).text.contains("\"every\":60"))
            try site.write(SubscriptionTests.list + "0.0.0.0 late.listed.example\n", to: "list")
            // It is due in a minute; now is soon enough.
            try await must([
                "sqlite3", "\(webtun.state)/blocklist.db", "PRAGMA busy_timeout=5000; UPDATE list SET due = 0",
            ])
            let followed = await eventually(within: 25, every: 250) {
                (try? await Probe.ask(net.machine, server: Internet.resolverV4, "late.listed.example").answer == [
                    "0.0.0.0"
                ])
                    ?? false
            }
            #expect(followed, "\(daemon.errors)")
            #expect(try await webtun(["list", "ls", "--json"]).text.contains("\"names\":4"))
        }
    }
}
