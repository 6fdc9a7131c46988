import Blocklist
import Export
import Foundation
import Glibc
import Kernel
import PacketTunnel
import QueryLog
import Synchronization

/// Metrics, dnstap and events: what is told to others.
extension Session {
    /// Runs the exporter, when there is something to export, around `body`. One that cannot be had is a problem to tell, and
    /// none for DNS.
    func withExporter(_ body: (Exporter?) async throws -> Void) async throws {
        let options = configuration.exporterOptions(version: options.version)
        guard options.isNeeded else { return try await body(nil) }
        let exporter: Exporter
        do {
            exporter = try Exporter(
                options, events: events,
                Exporter.Sources(
                    metrics: { [weak self] in self?.metrics() ?? [] },
                    listName: { [weak self] id in self?.state.withLock { $0.policy }?.listName(id) }))
        } catch {
            report(.export, "nothing is exported: \(error)")
            return try await body(nil)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await OwnThread.run("webtun-export") { exporter.run() } }
            do {
                try await body(exporter)
            } catch {
                exporter.stop()
                try await group.waitForAll()
                throw error
            }
            exporter.stop()
            try await group.waitForAll()
        }
    }

    /// The metrics that no answer tells. The exporter's thread; asks nobody that could keep it waiting.
    private func metrics() -> [Metric] {
        let (policy, engine, paused) = state.withLock { state in
            state.endPause()
            return (state.policy, state.engine, state.pausedUntil != nil)
        }
        var metrics = [
            Metric(
                "webtun_build_info", .gauge, "The version of webtun.",
                samples: [.init(labels: [("version", options.version)], value: 1)]),
            Metric("webtun_blocklist_names", .gauge, "Names in force that are blocked or allowed.", policy?.names ?? 0),
        ]
        metrics += ProcessMetrics.metrics()
        guard let engine else { return metrics }
        let capture = engine.capture.state
        let counters = engine.loop.counters
        metrics += [
            Metric(
                "webtun_filtering", .gauge, "Whether queries are filtered now.",
                capture.isCapturing && policy != nil && !paused ? 1 : 0),
            Metric(
                "webtun_link_captured", .gauge, "Whether the queries of a link are captured.", by: "link",
                capture.links.map { ($0.name, $0.captured ? 1 : 0) }.sorted { $0.0 < $1.0 }),
            Metric("webtun_queries_total", .counter, "Queries that were answered or asked upstream.", counters.queries),
            Metric("webtun_blocked_queries_total", .counter, "Queries that were blocked.", counters.blocked),
            Metric("webtun_cached_queries_total", .counter, "Queries answered from the cache.", counters.cached),
            Metric("webtun_forwarded_queries_total", .counter, "Queries that were asked upstream.", counters.forwarded),
            Metric(
                "webtun_failed_queries_total", .counter, "Queries answered SERVFAIL: no upstream, or too many waiting.",
                counters.failed),
            Metric(
                "webtun_refused_queries_total", .counter, "Queries answered FORMERR, NOTIMP or REFUSED.",
                counters.refused),
            Metric("webtun_stream_queries_total", .counter, "Queries over TCP.", counters.streamed),
            Metric("webtun_dropped_packets_total", .counter, "Packets that could not be read.", counters.dropped),
            Metric("webtun_passed_packets_total", .counter, "Packets passed on unchanged.", counters.passed),
            Metric("webtun_write_errors_total", .counter, "Packets that the kernel refused.", counters.writeErrors),
            Metric("webtun_cache_entries", .gauge, "Answers in the cache.", counters.cacheEntries),
            Metric("webtun_waiting_queries", .gauge, "Queries that wait for an upstream.", counters.waiting),
            Metric("webtun_flows", .gauge, "Flows that are alive.", counters.flows),
            Metric(
                "webtun_flow_verdicts_total", .counter, "Flows by their verdict.", by: "verdict",
                [("allow", counters.flowsAllowed), ("drop", counters.flowsDropped)]),
        ]
        if let log = engine.writer?.status {
            metrics += [
                Metric("webtun_log_rows_written_total", .counter, "Rows written to the query log.", log.writtenRows),
                Metric("webtun_log_rows_dropped_total", .counter, "Rows that the query log lost.", log.droppedRows),
                Metric("webtun_log_waiting_bytes", .gauge, "Rows that wait to be written, in bytes.", log.waitingBytes),
                Metric(
                    "webtun_log_writing", .gauge, "Whether the query log can be written.", log.state == .writing ? 1 : 0
                ),
            ]
        }
        return metrics
    }
}

/// What every exporter tells of its process, by the names that Prometheus's own client libraries use.
enum ProcessMetrics {
    static func metrics() -> [Metric] {
        var metrics: [Metric] = []
        guard let stat = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
            let close = stat.lastIndex(of: ")")
        else { return metrics }
        // proc(5): the fields behind the name begin with the third.
        let fields = stat[stat.index(after: close)...].split(separator: " ").map(String.init)
        let ticks = Double(sysconf(CInt(_SC_CLK_TCK)))
        if fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]),
            let start = Double(fields[19]), let pages = Int(fields[21])
        {
            metrics += [
                Metric(
                    "process_cpu_seconds_total", .counter, "User and system processor time.",
                    samples: [.init(value: (user + system) / ticks)]),
                Metric(
                    "process_resident_memory_bytes", .gauge, "Memory in use.", pages * sysconf(CInt(_SC_PAGESIZE))),
            ]
            if let boot = bootTime {
                metrics.append(
                    Metric(
                        "process_start_time_seconds", .gauge, "When the process started, since 1970.",
                        samples: [.init(value: boot + start / ticks)]))
            }
        }
        if let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            metrics.append(Metric("process_open_fds", .gauge, "Open file descriptors.", open.count))
        }
        return metrics
    }

    /// Seconds since 1970 (proc(5), `btime` of /proc/stat).
    private static let bootTime: Double? = {
        guard let stat = try? String(contentsOfFile: "/proc/stat", encoding: .utf8) else { return nil }
        return stat.split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap { Double($0.dropFirst(6)) }
    }()
}

extension Configuration {
    func exporterOptions(version: String) -> Exporter.Options {
        var options = Exporter.Options()
        options.metrics = metrics.listen
        options.dnstap = dnstap.to
        options.dnstapQueries = dnstap.queries
        options.identity = dnstap.identity.isEmpty ? Configuration.hostName : dnstap.identity
        options.version = version
        options.mark = capture.mark
        options.events = events.to == nil ? .none : events.queries
        return options
    }

    /// Where events go; nil: to standard error.
    var eventSocket: EventSocket? {
        events.to.map { EventSocket($0, host: Configuration.hostName, mark: capture.mark) }
    }

    static var hostName: String { ProcessInfo.processInfo.hostName }
}
