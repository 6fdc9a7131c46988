import GRDB
public import Kernel
public import Wire

/// A verdict on a flow in words: what decided, and how that is written.
public struct FlowExplanation: Sendable, Equatable {
    public var question: BlocklistStore.FlowQuestion
    public var verdict: FlowVerdict
    /// The list's name; nil for rules of the user and when nothing matched.
    public var list: String?
    /// The rule as written in the list, the user's rule on the name, or the entry of the resolver data.
    public var rule: String?
    /// The user's flow rule.
    public var flowRule: FlowRule?
    /// The line in the list or the resolver data, from 1.
    public var line: Int?
    /// The user's comment.
    public var comment: String?
}

extension BlocklistStore {
    /// A flow to be explained: of nobody that is known, to TCP port 443, without a name, unless set otherwise.
    public struct FlowQuestion: Sendable, Equatable {
        public var remote: IPAddress
        public var port: UInt16 = 443
        public var proto: UInt8 = 6
        /// In stored form.
        public var name: String?
        public var asker = Asker.everybody

        public init(remote: IPAddress) {
            self.remote = remote
        }
    }

    /// Says what a policy decides about a flow and why.
    public func explain(_ question: FlowQuestion, in policy: PolicySnapshot) throws -> FlowExplanation {
        let wire = try question.name.map { try DomainName($0).wire } ?? []
        let verdict = unsafe policy.flowVerdict(
            remote: question.remote, port: question.port, proto: question.proto, name: wire.span.bytes,
            asker: question.asker, isNameFinal: true)
        var explanation = FlowExplanation(question: question, verdict: verdict)
        switch verdict.reason {
        case .none: break
        case .flow:
            explanation.flowRule = try flowRules().first { $0.id == verdict.rule }
            explanation.comment = explanation.flowRule?.comment
        case .rule:
            let rule = try rules().first { $0.id == verdict.rule }
            explanation.rule = rule?.name
            explanation.comment = rule?.comment
        case .list:
            explanation.list = policy.listName(verdict.list)
            if verdict.match != .none, let name = question.name {
                let found = try line(
                    of: name, labels: verdict.labels, list: verdict.list, class: verdict.rule, in: policy)
                explanation.line = found?.line
                explanation.rule = found?.rule
            } else {
                explanation.line = Int(verdict.rule)
                explanation.rule = try rule(list: verdict.list, line: Int(verdict.rule))
            }
        case .bypass:
            explanation.list = policy.listName(verdict.list)
            explanation.line = Int(verdict.rule)
            explanation.rule = try resolver(line: verdict.rule).map { "\($0.kind.rawValue) of \($0.operatorName)" }
        }
        return explanation
    }
}

extension RuleOwner {
    /// Somebody of whom a rule for this program and user speaks.
    public var example: Owner {
        var owner = Owner(uid: uid.map { Int32(bitPattern: $0) } ?? -1, certainty: isEmpty ? .none : .exact)
        guard let app else { return owner }
        if app.hasPrefix("/") { owner.path = Owner.hash(of: app) }
        owner.name = Owner.hash(of: app.split(separator: "/").last.map(String.init) ?? app)
        return owner
    }
}

extension FlowConditions {
    /// TCP, UDP, DCCP, SCTP and UDP-Lite have ports.
    public static func hasPorts(_ proto: UInt8) -> Bool { FlowFacts.hasPorts(proto) }
}

extension FlowRule {
    /// The order of precedence.
    public static func isAskedBefore(_ left: FlowRule, _ right: FlowRule) -> Bool { FlowRuleSet.isBefore(left, right) }
}
