import Foundation
import Kernel
import QueryLog
import Testing
import Wire

@testable import Export

@Suite struct EventMessageTests {
    let event = Event(
        .warning, time: 1_767_225_600_000_042, "lists \"ads\"\nchanged",
        facts: [("names", "5"), ("path", "a\"b]c\\d\ne")])

    @Test func syslog() {
        let bytes = EventMessage.syslog(event, host: "a host", process: 77)
        let expected =
            #"<28>1 2026-01-01T00:00:00.000042Z ahost webtun 77 - [webtun@32473 names="5" path="a\"b\]c\\d e"] "#
        #expect(bytes == Array(expected.utf8) + [0xef, 0xbb, 0xbf] + Array("lists \"ads\" changed".utf8))
        let bare = EventMessage.syslog(Event(.error, time: 0, "x"), host: "", process: 1)
        #expect(bare == Array("<27>1 1970-01-01T00:00:00.000000Z - webtun 1 - - ".utf8) + [0xef, 0xbb, 0xbf, 0x78])
    }

    @Test func local() {
        let text = String(decoding: EventMessage.local(event, process: 77), as: UTF8.self)
        #expect(text.hasPrefix("<28>") && text.contains(" webtun[77]: lists \"ads\" changed names=5 path=\"a\\\"b]c"))
        #expect(!text.contains("\n"))
    }

    @Test func journal() {
        let bytes = EventMessage.journal(event)
        let value = Array("lists \"ads\"\nchanged".utf8)
        #expect(bytes.starts(with: Array("MESSAGE\n".utf8) + [19, 0, 0, 0, 0, 0, 0, 0] + value + [0x0a]))
        let rest = String(decoding: bytes, as: UTF8.self)
        #expect(
            rest.contains("\nPRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=webtun\nWEBTUN_NAMES=5\nWEBTUN_PATH\n"))
    }

    @Test func timesAreThoseOfFoundation() {
        let seed = UInt64.random(in: 1 ... .max)
        var random = seed
        let style = Date.ISO8601FormatStyle()
        for _ in 0..<5000 {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            let seconds = Int64(random % 16_725_225_600)
            let text = EventMessage.timestamp(seconds * 1_000_000 + 7)
            let expected = Date(timeIntervalSince1970: Double(seconds)).formatted(style).dropLast() + ".000007Z"
            #expect(text == expected, "seed \(seed)")
        }
    }

    @Test func aQueryAsAnEvent() {
        let blocked = row {
            $0.verdict = .block
            $0.reason = .list
            $0.list = 2
        }
        let event = QueryEvent.event(blocked, message("ADS.Example").span.bytes, listName: { "list\($0)" })
        #expect(event.text == "blocked ads.example A for 192.0.2.10 by list2")
        let facts = Dictionary(uniqueKeysWithValues: event.facts.map { ($0.name, $0.value) })
        #expect(facts["qname"] == "ads.example" && facts["list"] == "list2" && facts["rcode"] == "NOERROR")
        for cut in 0..<20 {
            let bytes = Array(message("a.example").prefix(cut))
            #expect(QueryEvent.event(row(), bytes.span.bytes, listName: { _ in nil }).text.hasPrefix("forwarded . A"))
        }
    }

    @Test(arguments: [
        "unix:/run/x.sock", "unix:@abstract", "tcp:192.0.2.1:6000", "udp:[2001:db8::1]:514",
    ])
    func endpointsAreReadAsTheyArePrinted(_ text: String) {
        #expect(Endpoint(text)?.description == text)
    }

    @Test(arguments: [
        "", "unix:", "unix:relative", "tcp:192.0.2.1", "tcp:0.0.0.0:5", "tcp:224.0.0.1:5", "http://x", "tcp:x:1",
        "unix:/" + String(repeating: "x", count: 120), "udp:192.0.2.1:0", "udp:192.0.2.1:70000",
    ])
    func endpointsThatAreNone(_ text: String) {
        #expect(Endpoint(text) == nil)
    }
}

/// Real daemons: rsyslog and the journal.
@Suite struct EventReceiverTests {
    let scratch = Scratch()

    @Test func rsyslogReadsEveryForm() throws {
        let port = UInt16.random(in: 40_000..<60_000)
        let configuration = scratch.path + "/rsyslog.conf"
        try """
        module(load="imuxsock" SysSock.Use="off")
        module(load="imudp")
        input(type="imuxsock" Socket="\(scratch.path)/dev-log")
        input(type="imuxsock" Socket="\(scratch.path)/log5424" UseSpecialParser="off" ParseHostname="on")
        input(type="imudp" address="127.0.0.1" port="\(port)")
        template(name="t" type="string" string="%pri% %hostname% %app-name% %procid% %structured-data% %msg%\\n")
        action(type="omfile" file="\(scratch.path)/out" template="t")
        """.write(toFile: configuration, atomically: true, encoding: .utf8)
        let daemon = try Peer(["rsyslogd", "-n", "-f", configuration, "-i", scratch.path + "/pid"])
        let event = Event(.notice, time: 1_767_225_600_000_000, "it works", facts: [("names", "5")])
        #expect(
            eventually { access(scratch.path + "/log5424", F_OK) == 0 && access(scratch.path + "/dev-log", F_OK) == 0 })
        usleep(200_000)
        let me = getpid()
        for target in [
            EventSocket.Target.local(path: scratch.path + "/dev-log"), .syslog(.unix(scratch.path + "/log5424")),
            .syslog(.udp(SocketAddress(IPAddress("127.0.0.1")!, port: port))),
        ] {
            #expect(EventSocket(target, host: "myhost", mark: 0).send(event))
            usleep(100_000)
        }
        var lines: [Substring] = []
        #expect(
            eventually {
                lines = ((try? String(contentsOfFile: scratch.path + "/out", encoding: .utf8)) ?? "")
                    .split(separator: "\n")
                return lines.count == 3
            }, "\(lines)")
        daemon.stop()
        #expect(
            lines.first?.hasPrefix("29 ") == true && lines.first?.contains(" webtun \(me) -  it works names=5") == true)
        for line in lines.dropFirst() {
            #expect(line == "29 myhost webtun \(me) [webtun@32473 names=\"5\"] \u{feff}it works")
        }
    }

    /// The journal's daemon in a mount namespace with a /run of its own.
    @Test func theJournalReadsItsOwnForm() throws {
        let daemon = try Peer([
            "unshare", "-m", "--propagation", "private", "sh", "-c",
            """
            mount -t tmpfs none /run && mkdir -p /run/systemd/journal /run/log/journal && exec /lib/systemd/systemd-journald
            """,
        ])
        let root = "/proc/\(daemon.process.processIdentifier)/root"
        let path = root + "/run/systemd/journal/socket"
        #expect(eventually { access(path, F_OK) == 0 })
        let socket = EventSocket(.journal(path: path), host: "h", mark: 0)
        #expect(eventually { socket.send(Event(.error, time: 0, "two\nlines", facts: [("qname", "a.example")])) })
        var text = ""
        #expect(
            eventually {
                text =
                    (try? Peer([
                        "nsenter", "-t", "\(daemon.process.processIdentifier)", "-m", "journalctl", "-D",
                        "/run/log/journal",
                        "--no-pager", "-o", "json", "SYSLOG_IDENTIFIER=webtun",
                    ]).text()) ?? ""
                return text.contains("WEBTUN_QNAME")
            }, "\(text)")
        daemon.stop()
        let line = try #require(text.split(separator: "\n").first)
        let entry = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(entry["MESSAGE"] as? String == "two\nlines" && entry["PRIORITY"] as? String == "3")
        #expect(entry["WEBTUN_QNAME"] as? String == "a.example")
    }

    @Test func nobodyThereIsCounted() {
        let socket = EventSocket(.local(path: scratch.path + "/none"), host: "h", mark: 0)
        for _ in 0..<3 { #expect(!socket.send(Event(.error, time: 0, "x"))) }
        #expect(socket.dropped == 3 && socket.sent == 0)
    }

    @Test func blockedQueriesAreToldWhenTheyShallBe() throws {
        let path = scratch.path + "/log"
        let number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(number) }
        #expect(try UnixAddress(path).withSockaddr { bind(number, $0, $1) } == 0)
        var options = Exporter.Options()
        options.events = .blocked
        let running = try Running(options, events: EventSocket(.syslog(.unix(path)), host: "h", mark: 0))
        running.exporter.ring.add(row(), message("fine.example"))
        running.exporter.ring.add(
            row {
                $0.verdict = .block; $0.list = 4
            }, message("ads.example"))
        #expect(eventually { running.exporter.status.eventsSent == 1 })
        running.stop()
        var bytes = [UInt8](repeating: 0, count: 2000)
        let count = recv(number, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        try #require(count > 0)
        let text = String(decoding: bytes[..<count], as: UTF8.self)
        #expect(
            text.contains(#"qname="ads.example""#) && text.contains("blocked ads.example A for 192.0.2.10 by list4"))
        #expect(recv(number, &bytes, bytes.count, Int32(MSG_DONTWAIT)) < 0)
    }
}
