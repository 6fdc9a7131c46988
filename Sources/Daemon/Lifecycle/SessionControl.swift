import Glibc
import Kernel
import Logging
import PacketTunnel
import Synchronization

/// What the control socket and SIGHUP ask for.
extension Session {
    func answer(_ request: ControlRequest, _ engine: RunningEngine) async -> ControlReply {
        switch request {
        case .status:
            break
        case .pause(let seconds):
            pause(seconds, engine)
        case .resume:
            engine.loop.setPaused(until: 0)
            state.withLock { $0.pausedUntil = nil }
            logger.notice("resumed")
        case .reload:
            do {
                let notes = try reload(engine)
                return .done(status(engine), notes: notes)
            } catch {
                return .refused("\(error)")
            }
        }
        return .done(status(engine))
    }

    private func pause(_ seconds: UInt64?, _ engine: RunningEngine) {
        if let seconds {
            engine.loop.setPaused(until: Clock.monotonic() + seconds * 1_000_000_000)
            state.withLock { $0.pausedUntil = Clock.unixMicroseconds() + Int64(seconds) * 1_000_000 }
        } else {
            engine.loop.setPaused(until: .max)
            state.withLock { $0.pausedUntil = -1 }
        }
        logger.notice("paused", metadata: ["for": "\(seconds.map(Seconds.print) ?? "until resumed")"])
    }

    /// SIGHUP: as the request, but what happens is logged.
    func reloadLogged() async {
        guard let engine = state.withLock({ $0.engine }) else {
            logger.warning("cannot reload while starting or stopping")
            return
        }
        tellManager("RELOADING=1", "MONOTONIC_USEC=\(Clock.monotonic() / 1000)")
        do {
            for note in try reload(engine) { logger.warning("\(note)") }
            logger.notice("reloaded")
        } catch {
            logger.error("the configuration in force stays, the new one has mistakes:\n\(error)")
        }
        tellManager("READY=1")
    }

    /// The keys that take effect while webtun runs; the others do at the next start.
    static let reloadable: Set<String> = [
        "dns.upstream", "capture.fail", "lists.starter", "tunnel.include", "tunnel.exclude", "flows.default", "flows.drop",
    ]

    /// Reads the configuration anew. Returns what did not take effect.
    private func reload(_ engine: RunningEngine) throws -> [String] {
        let new = try options.configuration()
        let old = configuration
        let changed = Configuration.settings.filter { $0.value(new) != $0.value(old) }.map(\.key)
        state.withLock { state in
            state.configuration.dns.upstream = new.dns.upstream
            state.configuration.capture.fail = new.capture.fail
            state.configuration.tunnel.include = new.tunnel.include
            state.configuration.tunnel.exclude = new.tunnel.exclude
            state.configuration.flows.standard = new.flows.standard
            state.configuration.flows.drop = new.flows.drop
        }
        if changed.contains(where: ["tunnel.include", "tunnel.exclude"].contains) {
            try engine.capture.setPrefixes(include: new.tunnel.include, exclude: new.tunnel.exclude)
        }
        // Flows that are alive are judged anew, under the prefixes that hold now.
        engine.loop.adopt(new.flows.defaults)
        if changed.contains("dns.upstream"), !new.dns.upstream.isEmpty { use(new.dns.upstream, engine) }
        return changed.filter { !Session.reloadable.contains($0) }.map { "\($0) takes effect at the next start" }
    }
}
