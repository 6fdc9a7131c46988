import Blocklist

/// Why a flow has the verdict that it has.
public enum FlowReason: UInt8, CaseIterable, Sendable {
    /// Nothing in the policy speaks of it: the default.
    case none
    /// A list of names or addresses.
    case list
    /// A rule of the user on names.
    case rule
    /// A rule of the user on flows.
    case flow
    /// The bypass protection.
    case bypass
    /// Filtering was paused.
    case paused
    /// No name was found within the limits, and nothing else speaks of it: the default.
    case unnamed
    /// Too many flows were waiting for their names: judged without.
    case overload

    init(_ reason: FlowVerdict.Reason) {
        switch reason {
        case .none: self = .none
        case .list: self = .list
        case .rule: self = .rule
        case .flow: self = .flow
        case .bypass: self = .bypass
        }
    }
}
