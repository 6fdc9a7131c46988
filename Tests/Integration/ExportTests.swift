import Foundation
import Testing

/// What webtun tells others, with the programs that listen.
@Suite(.serialized) struct ExportTests {
    @Test func metricsAndDnstapTellOfEveryAnswer() async throws {
        // A path that both namespaces of the lab share, short enough for a socket.
        let folder = "/tmp/webtun-tap-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let configuration = """
            [metrics]
            listen = "127.0.0.1:9953"
            [dnstap]
            to = "unix:\(folder)/tap.sock"
            queries = true
            identity = "lab"
            """
        try await World.with(configuration: configuration) { (world: World) async throws in
            // Without a receiver everything is answered, and the loss is told.
            #expect(try await world.ask("early.blocked.example").answer == ["0.0.0.0"])
            let lost = try await eventually(within: 5, every: 100) {
                let status = try await world.webtun.status()
                let export = status["export"] as? [String: any Sendable]
                let problems = status["problems"] as? [String] ?? []
                return export?["dnstap_dropped"] as? Int == 2
                    && problems.contains { $0.hasPrefix("dnstap: connect to") }
            }
            #expect(lost, "the loss is told")

            let capture = try await world.machine.start(
                ["fstrm_capture", "-t", "protobuf:dnstap.Dnstap", "-u", folder + "/tap.sock", "-w", folder + "/out"],
                log: "fstrm")
            let connected = try await eventually(within: 10, every: 100) {
                let text = try await world.machine.run(["curl", "-s", "http://127.0.0.1:9953/metrics"]).text
                return text.contains("webtun_dnstap_connected 1")
            }
            #expect(connected, "the receiver is connected")
            _ = try await world.ask("one.blocked.example")
            _ = try await world.ask("two.allowed.example")
            _ = try await world.ask("two.allowed.example", tcp: true)
            _ = try await world.ask("three.allowed.example", "AAAA", six: true)

            var text = ""
            let counted = try await eventually(within: 5, every: 100) {
                text = try await world.machine.run(["curl", "-s", "http://127.0.0.1:9953/metrics"]).text
                return text.contains("webtun_queries_total 5\n") && text.contains(#"{source="upstream"} 2"#)
            }
            #expect(counted, "\(text)")
            for line in [
                "webtun_filtering 1", #"webtun_link_captured{link="eth0"} 1"#, "webtun_blocked_queries_total 2",
                #"webtun_answers_total{verdict="block",transport="udp",rcode="NOERROR"} 2"#,
                #"webtun_answers_total{verdict="allow",transport="tcp",rcode="NOERROR"} 1"#,
                #"webtun_blocked_by_list_total{list="rules"} 2"#,
                #"webtun_answer_duration_seconds_count{source="cache"} 1"#,
            ] {
                #expect(text.contains(line + "\n"), "\(line) is missing in\n\(text)")
            }

            world.daemon.signal(SIGTERM)
            #expect(await world.daemon.waitForEnd(within: 5) == 0)
            // The stream was ended in order, so the file is whole.
            capture.signal(SIGTERM)
            _ = await capture.waitForEnd(within: 5)
            let lines = try await world.machine.run(["dnstap-ldns", "-q", "-r", folder + "/out"]).lines
            #expect(lines.count == 8, "\(lines)")
            for (name, query, response) in [
                ("one.blocked.example.", 1, 1), ("two.allowed.example.", 2, 2), ("three.allowed.example.", 1, 1),
            ] {
                let own = lines.filter { $0.contains(name) }
                #expect(
                    own.count { $0.contains(" CQ ") } == query && own.count { $0.contains(" CR ") } == response,
                    "\(own)")
            }
            #expect(
                lines.contains { $0.contains(" CR \(Internet.machineV6)") && $0.contains("three.allowed.example.") })
            #expect(lines.contains { $0.contains(" TCP ") && $0.contains("two.allowed.example.") })
        }
    }
}
