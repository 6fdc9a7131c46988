internal import QueryLog
internal import Wire

/// A query as an event.
enum QueryEvent {
    /// - Parameters:
    ///   - message: the answer, whose question names what was asked.
    static func event(_ row: QueryRow, _ message: RawSpan, listName: (Int32) -> String?) -> Event {
        let qname = question(message)
        let qtype = RecordType(row.qtype).description
        let rcode = row.rcode < 0 ? "none" : RCode(UInt16(row.rcode)).description
        var facts = [
            ("client", row.client.description), ("qname", qname), ("qtype", qtype), ("verdict", "\(row.verdict)"),
            ("rcode", rcode), ("transport", "\(row.transport)"), ("latency_us", "\(max(0, row.latency))"),
        ]
        let list = row.list > 0 ? listName(row.list) : nil
        if let list { facts.append(("list", list)) }
        if row.reason != .none { facts.append(("reason", "\(row.reason)")) }
        if row.cached { facts.append(("cached", "1")) }
        let by = list.map { " by \($0)" } ?? (row.reason == .none ? "" : " by \(row.reason)")
        let verb =
            switch row.verdict {
            case .block: "blocked"
            case .allow: "allowed"
            case .forward: "forwarded"
            }
        return Event(
            .information, time: row.time, "\(verb) \(qname) \(qtype) for \(row.client)\(by)",
            facts: facts.map { (name: $0.0, value: $0.1) })
    }

    /// The name of the question of a message (RFC 1035, section 4.1.2), never compressed there; `.` when there is none.
    private static func question(_ message: RawSpan) -> String {
        guard message.byteCount > 12, message.u16(4) > 0 else { return "." }
        var at = 12
        while at < message.byteCount, message.u8(at) != 0 {
            guard message.u8(at) < 64 else { return "." }
            at += 1 + Int(message.u8(at))
        }
        guard at < message.byteCount, at - 12 < 255 else { return "." }
        return Name.text(message.part(12, at - 11)).lowercased()
    }
}
