internal import Glibc
public import Kernel
internal import QueryLog
internal import Synchronization
internal import Wire

/// Tells the world outside of queries: metrics for Prometheus, dnstap, events. One thread of low priority of its own, which
/// takes what the packet thread puts into the `TapRing` and never makes it wait.
public final class Exporter: Sendable {
    public struct Options: Sendable {
        /// Where metrics are asked for.
        public var metrics: SocketAddress?
        public var dnstap: Endpoint?
        /// Queries too, not their answers only.
        public var dnstapQueries = false
        /// Names the machine in dnstap.
        public var identity = ""
        public var version = ""
        /// `SO_MARK` of webtun's own sockets.
        public var mark: UInt32 = 0
        /// Which queries become events.
        public var events = QueryEvents.none

        public init() {}

        /// Whether there is anything to do.
        public var isNeeded: Bool { metrics != nil || dnstap != nil || events != .none }

        /// What the packet thread has to hand over.
        public var wants: TapRing.Wants {
            var wants: TapRing.Wants = []
            if dnstap != nil || events != .none { wants.insert(.messages) }
            if dnstap != nil && dnstapQueries { wants.insert(.queries) }
            return wants
        }
    }

    /// Which queries are told to the system's log.
    public enum QueryEvents: String, Sendable, CaseIterable {
        case none, blocked, all
    }

    /// What others know and metrics tell.
    public struct Sources: Sendable {
        /// Called for every request for metrics, on the exporter's thread; must not block for long.
        public var metrics: @Sendable () -> [Metric]
        /// The name of a list by its number.
        public var listName: @Sendable (Int32) -> String?

        public init(
            metrics: @escaping @Sendable () -> [Metric], listName: @escaping @Sendable (Int32) -> String?
        ) {
            self.metrics = metrics
            self.listName = listName
        }
    }

    public struct Status: Sendable, Equatable {
        /// Queries and answers that the exporter was too slow for.
        public var dropped = 0
        public var dnstapFrames = 0
        /// Messages that the receiver did not take.
        public var dnstapDropped = 0
        /// Why dnstap is not connected; nil: it is, or is not wanted.
        public var dnstapProblem: String?
        public var eventsDropped = 0
        public var eventsSent = 0
    }

    public let ring: TapRing
    private let options: Options
    private let sources: Sources
    private let events: EventSocket?
    private let stopping: Wakeup
    private let isStopping = Atomic<Bool>(false)
    private let shared = Mutex(Status())
    private let parts: Mutex<Parts?>

    private struct Parts: ~Copyable {
        let poller: Poller
        var server: MetricsServer?
        var dnstap: DnstapSender?
        var metrics = QueryMetrics()
        var composer: DnstapComposer
    }

    private enum Tag {
        static let ring: UInt64 = 0
        static let stop: UInt64 = 1
        static let dnstap: UInt64 = 2
        static let server: UInt64 = 3
    }

    /// Opens what is needed; nothing runs yet.
    ///
    /// - Throws: `KernelError`, for instance when the address for metrics is in use.
    public init(_ options: Options, events: EventSocket?, _ sources: Sources) throws(KernelError) {
        self.options = options
        self.events = events
        if options.dnstap != nil { shared.withLock { $0.dnstapProblem = "not connected yet" } }
        self.sources = sources
        ring = try TapRing(wants: options.wants)
        stopping = try Wakeup()
        let poller = try Poller()
        try poller.add(ring.records.wakeDescriptor, tag: Tag.ring, .read)
        try poller.add(stopping.number, tag: Tag.stop, .read)
        var server: MetricsServer?
        if let address = options.metrics { server = try MetricsServer(address, tag: Tag.server, poller) }
        var dnstap: DnstapSender?
        if let endpoint = options.dnstap {
            dnstap = DnstapSender(endpoint, mark: options.mark, tag: Tag.dnstap)
        }
        parts = Mutex(
            Parts(
                poller: poller, server: server, dnstap: dnstap,
                composer: DnstapComposer(
                    identity: options.identity, version: options.version, listName: sources.listName)))
    }

    public var status: Status {
        var status = shared.withLock { $0 }
        status.dropped = ring.dropped
        status.eventsDropped = events?.dropped ?? 0
        status.eventsSent = events?.sent ?? 0
        return status
    }

    /// Works until `stop`; blocks its thread, which it makes one of low priority.
    public func run() {
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
        parts.withLock { parts in
            guard var own = parts.take() else { return }
            while !isStopping.load(ordering: .acquiring) { turn(&own) }
            end(&own)
        }
    }

    /// Ends `run`, which sends what is there for a second at most. Any thread.
    public func stop() {
        isStopping.store(true, ordering: .releasing)
        stopping.signal()
    }

    private func turn(_ parts: inout Parts) {
        ring.requestWake()
        // Metrics alone may be a second late; who follows queries wants them sooner.
        let ready = parts.poller.wait(milliseconds: options.wants.isEmpty ? 1000 : 200)
        let now = Clock.monotonic()
        for index in 0..<ready { handle(parts.poller.event(index), now, &parts) }
        drain(&parts)
        parts.dnstap?.tick(now: now, parts.poller)
        parts.dnstap?.flush(now: now, parts.poller)
        parts.server?.expire(now: now)
        publish(parts)
    }

    private func handle(_ event: Poller.Event, _ now: UInt64, _ parts: inout Parts) {
        switch event.tag {
        case Tag.ring: ring.records.clearWake()
        case Tag.stop: stopping.clear()
        case Tag.dnstap: parts.dnstap?.ready(event.ready, now: now, parts.poller)
        default:
            // What waits belongs to the answer.
            drain(&parts)
            publish(parts)
            let metrics = parts.metrics
            parts.server?.ready(event.tag, event.ready, now: now, parts.poller) {
                metrics.metrics(listName: sources.listName) + own() + sources.metrics()
            }
        }
    }

    private func drain(_ parts: inout Parts) {
        ring.drain { tap, message in
            if tap.kind == .answer {
                parts.metrics.add(tap.row)
                if options.events != .none { tell(tap.row, message) }
            }
            if parts.dnstap != nil { parts.dnstap?.add(parts.composer.compose(tap, message)) }
        }
    }

    private func publish(_ parts: borrowing Parts) {
        let (frames, dropped, problem) = (
            parts.dnstap?.frames ?? 0, parts.dnstap?.dropped ?? 0, parts.dnstap?.problem.map { $0 }
        )
        shared.withLock { status in
            status.dnstapFrames = frames
            status.dnstapDropped = dropped
            status.dnstapProblem = problem
        }
    }

    private func end(_ parts: inout Parts) {
        drain(&parts)
        let end = Clock.monotonic() + 1_000_000_000
        while Clock.monotonic() < end {
            let now = Clock.monotonic()
            guard parts.dnstap?.finish(now: now, parts.poller) == true else { break }
            for index in 0..<parts.poller.wait(milliseconds: 50) {
                let event = parts.poller.event(index)
                if event.tag == Tag.dnstap { parts.dnstap?.ready(event.ready, now: now, parts.poller) }
                if event.tag == Tag.stop { stopping.clear() }
            }
            parts.dnstap?.tick(now: now, parts.poller)
        }
        publish(parts)
    }

    private func own() -> [Metric] {
        let status = status
        var metrics = [
            Metric(
                "webtun_export_dropped_total", .counter,
                "Queries and answers that are missing in metrics, dnstap and events.", status.dropped)
        ]
        if options.dnstap != nil {
            metrics += [
                Metric(
                    "webtun_dnstap_connected", .gauge, "Whether a dnstap receiver is connected.",
                    status.dnstapProblem == nil ? 1 : 0),
                Metric(
                    "webtun_dnstap_messages_total", .counter, "Messages for the dnstap receiver.", status.dnstapFrames),
                Metric(
                    "webtun_dnstap_dropped_total", .counter, "Messages that no dnstap receiver took.",
                    status.dnstapDropped),
            ]
        }
        if events != nil {
            metrics += [
                Metric("webtun_events_total", .counter, "Events that the system's log took.", status.eventsSent),
                Metric("webtun_events_dropped_total", .counter, "Events that it did not take.", status.eventsDropped),
            ]
        }
        return metrics
    }

    // MARK: Events

    private func tell(_ row: QueryRow, _ message: RawSpan) {
        guard let events, options.events == .all || row.verdict == .block else { return }
        events.send(QueryEvent.event(row, message, listName: sources.listName))
    }
}
