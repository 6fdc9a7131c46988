import DNSProxy
import Glibc
import Kernel
import Logging
import PacketTunnel
import QueryLog
import Synchronization

/// What the control socket and SIGHUP ask for.
extension Session {
    func answer(_ request: ControlRequest, _ engine: RunningEngine) async -> ControlReply {
        switch request {
        case .status:
            break
        case .pause(let seconds):
            do { try pause(seconds, engine) } catch { return .refused("\(error)") }
        case .resume:
            do { try resume(engine) } catch {
                return .refused("filtering again, but the next start may pause: \(error)")
            }
        case .reload:
            do {
                let notes = try reload(engine)
                return .done(status(engine), notes: notes)
            } catch {
                return .refused("\(error)")
            }
        case .cached(let name, let qtype):
            let peek = CachePeek(name, qtype: qtype)
            engine.loop.ask(peek)
            guard case .found(let found) = await peek.result() else {
                return .refused("the cache could not be looked at")
            }
            return .done(status(engine), cached: CachedAnswer(found))
        }
        return .done(status(engine))
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

    /// Reads the configuration anew. Returns what did not take effect.
    private func reload(_ engine: RunningEngine) throws -> [String] {
        let new = try options.configuration()
        let (taken, left) = state.withLock { $0.configuration.follow(new) }
        let current = configuration
        engine.settings.publish(current.engineSettings)
        engine.writer?.setLimits(current.log.limits)
        if !taken.isDisjoint(with: ["capture.links", "capture.serve"]) {
            engine.capture.select(links: current.capture.links, serve: current.capture.serve)
        }
        if !taken.isDisjoint(with: ["tunnel.include", "tunnel.exclude"]) {
            try engine.capture.setPrefixes(include: current.tunnel.include, exclude: current.tunnel.exclude)
        }
        // Flows that are alive are judged anew, under the prefixes that hold now.
        engine.loop.adopt(current.flows.defaults)
        // Without configured servers those of the machine are looked for, within a second.
        if taken.contains("dns.upstream"), !current.dns.upstream.isEmpty { use(current.dns.upstream, engine) }
        if !taken.isEmpty { logger.info("in force", metadata: ["keys": "\(taken.sorted().joined(separator: " "))"]) }
        return left.filter { $0 != "lists.starter" }.map { "\($0) takes effect at the next start" }
    }
}
