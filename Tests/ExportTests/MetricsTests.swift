import Foundation
import Kernel
import QueryLog
import Testing
import Wire

@testable import Export

@Suite struct MetricsTextTests {
    @Test func theText() {
        let metrics = [
            Metric("a_total", .counter, "Help with \\ and\na line.", 3),
            Metric("b", .gauge, "B.", by: "name", [("x \"y\" \\\n", 1)]),
            Metric("none", .gauge, "Nothing.", by: "name", []),
            Metric(
                "c_seconds", .gauge, "C.", samples: [.init(value: 0.25), .init(labels: [("l", "1")], value: .infinity)]),
        ]
        #expect(
            String(decoding: MetricsText.compose(metrics), as: UTF8.self) == #"""
                # HELP a_total Help with \\ and\na line.
                # TYPE a_total counter
                a_total 3
                # HELP b B.
                # TYPE b gauge
                b{name="x \"y\" \\\n"} 1
                # HELP c_seconds C.
                # TYPE c_seconds gauge
                c_seconds 0.25
                c_seconds{l="1"} +Inf

                """#)
    }

    @Test func answersAreCounted() {
        var counts = QueryMetrics()
        counts.add(row())
        counts.add(
            row {
                $0.cached = true; $0.latency = 30
            })
        counts.add(
            row {
                $0.verdict = .block; $0.list = 3; $0.latency = 20; $0.upstream = IPAddress(v4: 0)
            })
        counts.add(
            row {
                $0.verdict = .block; $0.list = 0; $0.latency = 25; $0.upstream = IPAddress(v4: 0)
            })
        counts.add(
            row {
                $0.rcode = 2; $0.transport = .tcp; $0.upstream = IPAddress(v4: 0); $0.latency = 6_000_000
            })
        for qtype in 100..<300 { counts.add(row { $0.qtype = UInt16(qtype) }) }
        let text = String(decoding: MetricsText.compose(counts.metrics(listName: { "list\($0)" })), as: UTF8.self)
        for line in [
            #"webtun_answers_total{verdict="block",transport="udp",rcode="NOERROR"} 2"#,
            #"webtun_answers_total{verdict="forward",transport="tcp",rcode="SERVFAIL"} 1"#,
            #"webtun_answers_total{verdict="forward",transport="udp",rcode="NOERROR"} 202"#,
            #"webtun_queries_by_type_total{qtype="A"} 5"#, #"webtun_queries_by_type_total{qtype="other"} 137"#,
            #"webtun_blocked_by_list_total{list="list3"} 1"#, #"webtun_blocked_by_list_total{list="rules"} 1"#,
            #"webtun_upstream_answers_total{upstream="203.0.113.53:53"} 201"#,
            #"webtun_answer_duration_seconds_bucket{source="policy",le="2.5e-05"} 2"#,
            #"webtun_answer_duration_seconds_bucket{source="cache",le="2.5e-05"} 0"#,
            #"webtun_answer_duration_seconds_bucket{source="cache",le="5e-05"} 1"#,
            #"webtun_answer_duration_seconds_bucket{source="upstream",le="0.0025"} 201"#,
            #"webtun_answer_duration_seconds_bucket{source="none",le="5"} 0"#,
            #"webtun_answer_duration_seconds_bucket{source="none",le="+Inf"} 1"#,
            #"webtun_answer_duration_seconds_sum{source="none"} 6"#,
            #"webtun_answer_duration_seconds_count{source="upstream"} 201"#,
        ] {
            #expect(text.contains(line + "\n"), "\(line) is missing in\n\(text)")
        }
    }
}

@Suite struct HTTPRequestTests {
    @Test(arguments: [
        ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/metrics"),
        ("GET /metrics?a=b HTTP/1.0\n\n", "GET", "/metrics"),
        ("HEAD / HTTP/1.1\r\n\r\n", "HEAD", "/"),
    ])
    func reads(_ text: String, _ method: String, _ path: String) throws {
        let bytes = Array(text.utf8)
        let end = try #require(HTTPRequest.headEnd(bytes))
        #expect(end == bytes.count)
        let request = try #require(HTTPRequest(bytes[..<end]))
        #expect(request.method == method && request.path == path)
    }

    @Test(arguments: [
        "", "\r\n\r\n", "GET /metrics\r\n\r\n", "GET  /metrics HTTP/1.1\n\n", "GET metrics HTTP/1.1\n\n",
        "\u{0}\u{1}\n\n", "GET /m HTTP/2\n\n",
    ])
    func refuses(_ text: String) {
        #expect(HTTPRequest(Array(text.utf8)[...]) == nil)
    }
}

/// The endpoint, asked by curl and by clients that misbehave.
@Suite struct MetricsServerTests {
    let port: UInt16
    let running: Running

    init() throws {
        port = UInt16.random(in: 30_000..<60_000)
        var options = Exporter.Options()
        options.metrics = SocketAddress(IPAddress("127.0.0.1")!, port: port)
        running = try Running(options, metrics: [Metric("extra", .gauge, "Of others.", 7)])
    }

    func curl(_ arguments: String...) throws -> String {
        try Peer(["curl", "-s", "-m", "5"] + arguments).text()
    }

    /// Sends bytes and returns everything that comes back.
    func raw(_ bytes: [UInt8], closing: Bool = false) throws -> String {
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(number) }
        var patience = timeval(tv_sec: 8, tv_usec: 0)
        setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let address = SocketAddress(IPAddress("127.0.0.1")!, port: port)
        #expect(address.withSockaddr { connect(number, $0, $1) } == 0)
        _ = bytes.withUnsafeBytes { send(number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if closing { shutdown(number, Int32(SHUT_WR)) }
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(number, &chunk, chunk.count, 0)
            if count <= 0 { break }
            all += chunk[..<count]
        }
        return String(decoding: all, as: UTF8.self)
    }

    @Test func answersCurl() throws {
        defer { running.stop() }
        running.exporter.ring.add(row(), [])
        running.exporter.ring.add(
            row {
                $0.verdict = .block; $0.list = 1
            }, [])
        let url = "http://127.0.0.1:\(port)/metrics"
        let text = try curl(url)
        #expect(text.contains("\nextra 7\n") && text.contains("webtun_export_dropped_total 0"))
        #expect(text.contains(#"webtun_answers_total{verdict="forward",transport="udp",rcode="NOERROR"} 1"#))
        #expect(text.contains(#"webtun_blocked_by_list_total{list="list1"} 1"#))
        let head = try curl("-I", url)
        #expect(
            head.hasPrefix("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4") && !head.contains("extra"))
        #expect(try curl("-w", "%{http_code}", "-o", "/dev/null", "http://127.0.0.1:\(port)/") == "404")
        #expect(try curl("-w", "%{http_code}", "-o", "/dev/null", "-d", "x=1", url) == "405")
        // Every metric has its help and type, samples stand together, and names follow the convention.
        var types: [String: String] = [:]
        var current = ""
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 3).map(String.init)
            if line.hasPrefix("# HELP ") {
                #expect(types[words[2]] == nil, "\(words[2]) twice")
                current = words[2]
                types[current] = ""
            } else if line.hasPrefix("# TYPE ") {
                #expect(words[2] == current)
                types[current] = words[3]
                if words[3] == "counter" { #expect(current.hasSuffix("_total"), "\(current)") }
            } else {
                #expect(line.hasPrefix(current), "\(line) stands under \(current)")
                #expect(types[current] != "")
            }
        }
        #expect(types.count > 5)
    }

    @Test func clientsThatMisbehaveHarmNobody() throws {
        defer { running.stop() }
        #expect(try raw(Array("nonsense\r\n\r\n".utf8)).hasPrefix("HTTP/1.1 400"))
        #expect(try raw([UInt8](repeating: 0x41, count: 9000)).hasPrefix("HTTP/1.1 431"))
        #expect(try raw(Array("GET /metr".utf8), closing: true).isEmpty)
        // More connections than are served at a time, all silent: they are dropped and others are served again.
        var silent: [Int32] = []
        for _ in 0..<100 {
            let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            _ = SocketAddress(IPAddress("127.0.0.1")!, port: port).withSockaddr { connect(number, $0, $1) }
            silent.append(number)
        }
        #expect(eventually { (try? curl("http://127.0.0.1:\(port)/metrics"))?.contains("extra 7") == true })
        for number in silent { close(number) }
        let one = try raw(Array("GET /metrics HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n".utf8))
        #expect(one.components(separatedBy: "HTTP/1.1 200").count == 2)
    }

    @Test func anAddressInUseIsSaidSo() throws {
        defer { running.stop() }
        var options = Exporter.Options()
        options.metrics = SocketAddress(IPAddress("127.0.0.1")!, port: port)
        do {
            _ = try Running(options)
            Issue.record("no error")
        } catch {
            #expect("\(error)" == "listen for metrics on 127.0.0.1:\(port): Address already in use")
        }
    }
}
