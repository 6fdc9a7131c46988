import Daemon
import Foundation

/// How `status` prints the state of the daemon.
enum StatusText {
    static func json(_ answer: Status.Answer) -> JSONValue {
        switch answer {
        case .status(let status): json(status)
        case .notRunning: nothing(isRunning: false, problems: [])
        case .silent(let reason): nothing(isRunning: true, problems: [reason])
        }
    }

    /// Nothing is known but that it does not filter.
    private static func nothing(isRunning: Bool, problems: [String]) -> JSONValue {
        .object([
            ("running", .bool(isRunning)), ("filtering", .bool(false)), ("capture", .null), ("mode", .null),
            ("links", .array([])), ("names", .null), ("queries", .null), ("blocked", .null),
            ("dropped_log_rows", .null), ("problems", strings(problems)),
        ])
    }

    private static func json(_ status: DaemonStatus) -> JSONValue {
        let counters = status.counters
        return .object([
            ("running", .bool(true)),
            ("filtering", .bool(status.filtering)),
            ("capture", .string(status.capture)),
            ("mode", .string(status.mode)),
            ("links", strings(status.links)),
            ("serve", strings(status.serve)),
            ("owners", .optional(status.owners)),
            ("names", .integer(Int64(status.names))),
            ("queries", count(counters.queries)),
            ("blocked", count(counters.blocked)),
            ("cached", count(counters.cached)),
            ("forwarded", count(counters.forwarded)),
            ("failed", count(counters.failed)),
            ("malformed", count(counters.malformed)),
            ("dropped_log_rows", count(counters.droppedLogRows)),
            ("cached_answers", count(counters.cachedAnswers)),
            ("flows", count(counters.flows)),
            ("flows_allowed", count(counters.flowsAllowed)),
            ("flows_dropped", count(counters.flowsDropped)),
            ("log", status.log.map(json) ?? .null),
            ("export", export(status.export)),
            ("upstreams", strings(status.upstreams)),
            ("paused", .bool(status.pausedUntil != nil)),
            ("paused_until", status.pausedUntil.map { $0 < 0 ? .null : .string(moment($0)) } ?? .null),
            ("pauses", .array((status.pauses ?? []).map(json))),
            ("fail", .string(status.fail)),
            ("problems", strings(status.problems)),
            ("version", .string(status.version)),
            ("pid", .integer(Int64(status.pid))),
            ("uptime", count(status.uptime)),
        ])
    }

    private static func json(_ pause: DaemonStatus.Pause) -> JSONValue {
        .object([
            ("kind", .string(pause.kind)), ("subject", .string(pause.subject)),
            ("until", pause.until.map { .string(moment($0)) } ?? .null),
        ])
    }

    private static func json(_ log: DaemonStatus.Log) -> JSONValue {
        .object([
            ("state", .string(log.state)), ("reason", .optional(log.reason)),
            ("written_rows", .integer(log.writtenRows)),
            ("folded_rows", .integer(log.foldedRows)), ("dropped_rows", .integer(log.droppedRows)),
            ("waiting_bytes", .integer(Int64(log.waitingBytes))), ("set_aside", strings(log.setAside)),
        ])
    }

    /// Lines of a label and its value.
    static func text(_ status: DaemonStatus, style: Style) -> String {
        let counters = status.counters
        var rows: [(String, String)] = []
        rows.append(("filtering", status.filtering ? style.paint("yes", .green) : style.paint("no", .red)))
        for problem in status.problems { rows.append(("", style.paint(problem.printable, .yellow))) }
        if let until = status.pausedUntil {
            rows.append(("paused", until < 0 ? "until webtun resume" : "until \(moment(until))"))
        }
        for pause in status.pauses ?? [] {
            let end = pause.until.map { moment($0) } ?? "webtun resume"
            rows.append(("paused", "\(pause.kind) \(pause.subject)".printable + " until \(end)"))
        }
        let served = status.serve.map { "\($0.printable) (served)" }
        let links = status.links.map(\.printable) + served
        rows.append(("capture", "\(status.capture), mode \(status.mode), fail \(status.fail)"))
        rows.append(("links", links.isEmpty ? "none" : links.joined(separator: ", ")))
        rows.append(("owners", status.owners?.printable ?? "not known"))
        rows.append(("upstreams", status.upstreams.isEmpty ? "none" : status.upstreams.joined(separator: ", ")))
        rows.append(("names", Quantity.count(status.names)))
        let share = counters.queries > 0 ? Double(counters.blocked) / Double(counters.queries) : 0
        rows.append(("queries", Quantity.count(counters.queries)))
        rows.append(("  blocked", "\(Quantity.count(counters.blocked)) (\(Quantity.percent(share)))"))
        rows.append(
            ("  cached", "\(Quantity.count(counters.cached)), \(Quantity.count(counters.cachedAnswers)) answers kept"))
        rows.append(("  forwarded", Quantity.count(counters.forwarded)))
        if counters.failed > 0 { rows.append(("  failed", Quantity.count(counters.failed))) }
        if counters.malformed > 0 { rows.append(("  malformed", Quantity.count(counters.malformed))) }
        if status.mode == "full" {
            rows.append(("flows", "\(Quantity.count(counters.flows)) now"))
            rows.append(("  allowed", Quantity.count(counters.flowsAllowed)))
            rows.append(("  dropped", Quantity.count(counters.flowsDropped)))
        }
        rows.append(("log", status.log.map { text($0, style) } ?? "off"))
        if let export = status.export {
            let lost = export.dropped + export.dnstapDropped + export.eventsDropped
            var parts: [String] = []
            if export.dnstapMessages > 0 { parts.append("\(Quantity.count(export.dnstapMessages)) dnstap messages") }
            if lost > 0 { parts.append(style.paint("\(Quantity.count(lost)) dropped", .yellow)) }
            rows.append(("export", parts.isEmpty ? "on" : parts.joined(separator: ", ")))
        }
        rows.append(("running", "\(Seconds.print(status.uptime)), process \(status.pid), version \(status.version)"))
        return rows.map { label, value in
            label + String(repeating: " ", count: max(0, 13 - label.count)) + value + "\n"
        }.joined()
    }

    private static func text(_ log: DaemonStatus.Log, _ style: Style) -> String {
        var parts = [log.state == "writing" ? log.state : style.paint(log.state, .yellow)]
        parts.append("\(Quantity.count(log.writtenRows)) rows")
        if log.foldedRows > 0 { parts.append("\(Quantity.count(log.foldedRows)) repetitions added up") }
        if log.waitingBytes > 1 << 20 { parts.append("\(Quantity.bytes(Int64(log.waitingBytes))) in memory") }
        if log.droppedRows > 0 {
            parts.append(style.paint("\(Quantity.count(log.droppedRows)) rows dropped", .yellow))
        }
        return parts.joined(separator: ", ")
    }

    private static func export(_ export: DaemonStatus.Export?) -> JSONValue {
        guard let export else { return .null }
        return .object([
            ("dropped", count(export.dropped)), ("dnstap_messages", count(export.dnstapMessages)),
            ("dnstap_dropped", count(export.dnstapDropped)), ("events_dropped", count(export.eventsDropped)),
        ])
    }

    private static func strings(_ texts: [String]) -> JSONValue { .array(texts.map(JSONValue.string)) }
    private static func count(_ number: UInt64) -> JSONValue { .integer(Int64(clamping: number)) }

    /// `2026-11-24T08:00:00Z`, from microseconds since 1970.
    private static func moment(_ time: Int64) -> String {
        Date(timeIntervalSince1970: Double(time) / 1_000_000).formatted(.iso8601)
    }
}
