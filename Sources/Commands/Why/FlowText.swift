import Blocklist
import Wire

/// A verdict on a flow in words.
enum FlowText {
    /// What decided, in a line.
    static func decider(_ explanation: FlowExplanation) -> String {
        let rule = explanation.rule ?? ""
        switch explanation.verdict.reason {
        case .none: return "no rule and no list has it; [flows] default decides"
        case .flow: return "your flow rule \(explanation.verdict.rule)"
        case .rule: return "your rule \(explanation.verdict.rule): \(rule)"
        case .list: return "list \(explanation.list ?? ""), line \(explanation.line ?? 0)"
        case .bypass: return "bypass protection, line \(explanation.line ?? 0): \(rule)"
        }
    }

    /// `block`, `allow` or `forward` as for names.
    static func word(_ verdict: FlowVerdict) -> String {
        switch verdict.action {
        case .drop: "block"
        case .allow, .peek: verdict.reason == .none ? "forward" : "allow"
        }
    }

    static func text(_ explanation: FlowExplanation, style: Style) -> String {
        let question = explanation.question
        let remote = question.remote.isIPv6 ? "[\(question.remote)]" : "\(question.remote)"
        let place = question.port == 0 ? "\(question.remote)" : "\(remote):\(question.port)"
        let title = "\(place) \(FlowProtocol.text(question.proto))\(question.name.map { " \($0)" } ?? "")"
        let (text, ink): (String, Style.Ink) =
            switch word(explanation.verdict) {
            case "block": ("cut", .red)
            case "allow": ("allowed", .green)
            default: ("left to the default", .green)
            }
        var lines = ["\(title.printable): \(style.paint(text, ink))"]
        func fact(_ name: String, _ value: String) {
            lines.append("  " + style.paint(name.padded(9), .dim) + value.printable)
        }
        fact("by", decider(explanation))
        if explanation.verdict.reason == .flow, let rule = explanation.flowRule {
            fact("rule", FlowLs.text(rule))
        } else if explanation.verdict.reason == .list, let rule = explanation.rule {
            fact("rule", rule)
        }
        if let comment = explanation.comment, !comment.isEmpty { fact("comment", comment) }
        return lines.joined(separator: "\n")
    }

    static func json(_ explanation: FlowExplanation) -> JSONValue {
        let (question, verdict) = (explanation.question, explanation.verdict)
        return .object([
            ("remote", .string("\(question.remote)")), ("port", .integer(Int64(question.port))),
            ("proto", .string(FlowProtocol.text(question.proto))), ("name", .optional(question.name)),
            ("verdict", .string(word(verdict))), ("reason", .string("\(verdict.reason)")),
            ("list", .optional(explanation.list)),
            ("rule", .optional(explanation.flowRule.map({ FlowLs.text($0) }) ?? explanation.rule)),
            ("line", .optional(explanation.line)),
            ("user_rule", verdict.list == 0 ? .integer(Int64(verdict.rule)) : .null),
            ("comment", explanation.comment.map { $0.isEmpty ? .null : .string($0) } ?? .null),
        ])
    }
}
