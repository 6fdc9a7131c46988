import Blocklist
import DNSProxy
import Daemon
import Kernel
import Wire

/// What a query of one type would be answered with now: asked of webtun's own engine, with the settings of the running
/// webtun, or those of the configuration when none runs.
struct WhyAnswer {
    /// The answer webtun gives itself; nil: an upstream's.
    struct Own: Equatable {
        var rcode: String
        /// The data of the records of the answer.
        var data: [String]
        /// Seconds that it may be kept; nil: not at all.
        var ttl: UInt32?
    }

    /// Upper case.
    let type: String
    /// As in `DaemonStatus`.
    let pausedUntil: Int64?
    let own: Own?

    /// - Parameters:
    ///   - asker: the program and user whose query it is.
    ///   - client: the address it comes from; nil: of nobody in particular.
    ///   - status: of the running webtun.
    init(
        _ name: DomainName, type: String, _ asker: Owner, client: IPAddress?, _ policy: PolicySnapshot,
        status: DaemonStatus?
    ) throws {
        self.type = type.uppercased()
        pausedUntil = status?.pausedUntil
        let query = try QueryMessage.compose(name: name.text, type: type, id: 0)
        var settings = WhyAnswer.settings(status)
        settings.cacheBytes = 0
        settings.waiting = 1
        var engine = Engine(settings: settings, policy: policy, slots: 1)
        if pausedUntil != nil { engine.pausedUntil = .max }
        var reply = [UInt8](repeating: 0, count: 65_535)
        var room = reply.mutableSpan
        var bytes = unsafe room.mutableBytes
        let message = unsafe query.span.bytes
        guard
            case .answer(let answer) = engine.handle(
                message, isStream: true, client: client ?? IPAddress(high: 0, low: 0), owner: asker, now: 1,
                into: &bytes)
        else {
            own = nil
            return
        }
        if answer.isSilent {
            own = Own(rcode: "DROPPED", data: [])
            return
        }
        guard let text = MessageText(Array(reply[..<answer.byteCount]), milliseconds: 0)
        else {
            own = nil
            return
        }
        let ttl = (text.answer.first ?? text.authority.first)?.ttl
        own = Own(rcode: text.rcodeName, data: text.answer.map(\.data), ttl: ttl)
    }

    /// The state of the running webtun; nil when none answers, or not to this user.
    static func status(state: String) -> DaemonStatus? {
        try? ControlClient(state: state, patience: 2).request(.status)
    }

    private static func settings(_ status: DaemonStatus?) -> EngineSettings {
        guard let blocked = status?.blocking, let mode = Blocking.Mode(rawValue: blocked.mode) else {
            // A configuration with mistakes is told of by the commands that need it.
            return ((try? Configuration.load(file: nil)) ?? Configuration()).engineSettings
        }
        return EngineSettings(
            blocking: Blocking(
                mode: mode, ttl: blocked.ttl, addresses: blocked.addresses.compactMap { IPAddress($0) }))
    }

    var json: [(String, JSONValue)] {
        [
            ("qtype", .string(type)), ("rcode", .optional(own?.rcode)),
            ("answer", own.map { .array($0.data.map(JSONValue.string)) } ?? .null),
            ("ttl", .optional(own?.ttl.map(Int.init))), ("paused", .bool(pausedUntil != nil)),
        ]
    }

    /// Names and values for people.
    var facts: [(String, String)] {
        var facts = [("answer", text)]
        if let pausedUntil {
            facts.append(
                ("paused", (pausedUntil < 0 ? "until 'webtun resume'" : "for a time") + ": nothing is blocked"))
        }
        return facts
    }

    private var text: String {
        guard let own else { return "an upstream's" }
        let what =
            own.data.isEmpty ? (own.rcode == "NOERROR" ? "no data" : own.rcode) : own.data.joined(separator: ", ")
        return "\(type) \(what)" + (own.ttl.map { ", for \($0) s" } ?? "")
    }
}
