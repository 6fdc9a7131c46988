import Blocklist
import DNSProxy
import Export
import Glibc
import Kernel
import Logging
import PacketTunnel
import QueryLog
import Synchronization
import Wire

/// What the session tells of itself. It asks the kernel and the packet thread at that moment and believes no memory.
extension Session {
    /// Blocks for up to 200 ms when the packet thread does not answer.
    func status(_ engine: RunningEngine) -> DaemonStatus {
        let capture = engine.capture.state
        let counters = engine.loop.counters
        let isAlive = isAlive(engine.loop)
        let state = state.withLock { state in
            state.endPause()
            return state
        }
        var status = DaemonStatus(
            version: options.version, pid: getpid(), uptime: (Clock.monotonic() - started) / 1_000_000_000,
            filtering: isAlive && capture.isCapturing && state.policy != nil && state.pausedUntil == nil,
            problems: capture.problems(), capture: capture.backEnd.rawValue,
            mode: state.configuration.capture.mode.rawValue, fail: state.configuration.capture.fail.rawValue,
            links: capture.links.filter { $0.captured && !$0.served }.map(\.name),
            serve: capture.links.filter { $0.captured && $0.served }.map(\.name), names: state.policy?.names ?? 0,
            upstreams: state.upstreams.map(\.description), pausedUntil: state.pausedUntil, counters: .init())
        status.owners = state.owners.map { owners in owners.problem.map { "lookup: \($0)" } ?? "kernel" }
        status.pauses = state.policy?.pauses(at: Clock.unixMicroseconds()).filter { $0.scope != .all }.map {
            .init(kind: $0.scope.kind, subject: $0.scope.text, until: $0.until)
        }
        if !isAlive && state.problems[.loop] == nil { status.problems.append("packets are not answered") }
        for source in Source.allCases {
            if let problem = state.problems[source], !status.problems.contains(problem) {
                status.problems.append(problem)
            }
        }
        let blocking = engine.settings.settings.blocking
        status.blocking = .init(
            mode: blocking.mode.rawValue, ttl: blocking.ttl, addresses: blocking.addresses.map(\.description))
        status.counters.queries = UInt64(counters.queries)
        status.counters.blocked = UInt64(counters.blocked)
        status.counters.cached = UInt64(counters.cached)
        status.counters.forwarded = UInt64(counters.forwarded)
        status.counters.failed = UInt64(counters.failed)
        status.counters.cachedAnswers = UInt64(counters.cacheEntries)
        status.counters.malformed = UInt64(counters.refused + counters.dropped)
        status.counters.flows = UInt64(counters.flows)
        status.counters.flowsAllowed = UInt64(counters.flowsAllowed)
        status.counters.flowsDropped = UInt64(counters.flowsDropped)
        if let writer = engine.writer?.status {
            status.counters.droppedLogRows = UInt64(writer.droppedRows)
            if case .waiting(let reason) = writer.state { status.problems.append("the query log waits: \(reason)") }
            for path in writer.setAside {
                status.problems.append("the query log was damaged: it is kept as \(path), a new one was begun")
            }
            status.log = DaemonStatus.Log(writer)
        }
        status.export = export(engine.exporter)
        if configuration.dnstap.to != nil, let problem = engine.exporter?.status.dnstapProblem {
            status.problems.append("dnstap: \(problem)")
        }
        return status
    }

    /// What metrics, dnstap and events lost; nil: nothing is exported.
    private func export(_ exporter: Exporter?) -> DaemonStatus.Export? {
        guard let status = exporter?.status else { return nil }
        return .init(
            dropped: UInt64(status.dropped), dnstapMessages: UInt64(status.dnstapFrames),
            dnstapDropped: UInt64(status.dnstapDropped), eventsDropped: UInt64(status.eventsDropped))
    }

    /// Whether the packet thread does a round now.
    private func isAlive(_ loop: PacketLoop) -> Bool {
        let before = loop.counters.heartbeat
        loop.poke()
        for _ in 0..<100 {
            if loop.counters.heartbeat != before { return true }
            usleep(2000)
        }
        return false
    }

    /// Says once, on standard output, that it filters: when it does.
    func announce(_ engine: RunningEngine) {
        guard state.withLock({ $0.announced == nil }) else { return }
        let status = status(engine)
        guard status.filtering else {
            if !engine.capture.state.isCapturing { report(.capture, "no link is captured") }
            return
        }
        report(.capture, nil)
        state.withLock { $0.announced = Clock.monotonic() }
        let links = status.links + status.serve.map { "\($0) (served)" }
        print("webtun: filtering \(links.joined(separator: ", ")) by \(status.capture), \(status.names) names")
        fflush(nil)
        tellManager("STATUS=filtering \(links.joined(separator: ", "))")
    }
}

extension DaemonStatus.Log {
    init(_ writer: QueryLogWriter.Status) {
        let (state, reason): (String, String?) =
            switch writer.state {
            case .writing: ("writing", nil)
            case .waiting(let reason): ("waiting", reason)
            case .stopped: ("stopped", nil)
            }
        self.init(
            state: state, reason: reason, writtenRows: writer.writtenRows, foldedRows: writer.foldedRows,
            droppedRows: writer.droppedRows, waitingBytes: writer.waitingBytes, setAside: writer.setAside)
    }
}

extension Session.State {
    /// A pause whose time is over is none.
    mutating func endPause() {
        if let until = pausedUntil, until >= 0, until <= Clock.unixMicroseconds() { pausedUntil = nil }
    }
}

extension CaptureState {
    /// In sentences.
    func problems() -> [String] {
        var found: [String] = []
        if let problem { found.append(problem) }
        if let detour { found.append(detour) }
        if links.isEmpty && problem == nil { found.append("no link is captured") }
        for link in links where !link.captured {
            found.append("\(link.name) is not captured" + (link.problem.map { ": \($0)" } ?? ""))
        }
        for name in missing { found.append("there is no link \(name); it is captured when it appears") }
        return found
    }
}
