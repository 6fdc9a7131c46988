internal import Glibc
public import Kernel

/// How the log's writer learns the names behind the numbers of a `QueryRow`. Called on the writer's thread, a few times a
/// second at most; nil leaves the column NULL.
public struct LogLabels: Sendable {
    /// The name of a list of `blocklist.db`.
    public var list: @Sendable (Int32) -> String?
    /// The name of a link by its ifindex.
    public var link: @Sendable (Int32) -> String?
    /// A user rule as written, by its id. Asked for matches that are no suffix of the qname (regex).
    public var rule: @Sendable (Int32) -> String?

    /// A rule for flows as written, by its list (0: the user's own) and its id or line. Asked for flows that were matched by
    /// something else than their name.
    public var flowRule: @Sendable (Int32, Int32) -> String?
    /// Who sent a query whose row does not say so, from its addresses and ports. Asked once a second for a socket at most,
    /// and for 1024 of them.
    public var owner: @Sendable (borrowing QueryRow) -> Owner
    /// The path of an owner's program.
    public var app: @Sendable (Owner) -> String?

    public init(
        list: @escaping @Sendable (Int32) -> String?,
        link: @escaping @Sendable (Int32) -> String? = { LogLabels.linkName($0) },
        rule: @escaping @Sendable (Int32) -> String? = { _ in nil },
        flowRule: @escaping @Sendable (Int32, Int32) -> String? = { _, _ in nil },
        owner: @escaping @Sendable (borrowing QueryRow) -> Owner = { _ in .unknown },
        app: @escaping @Sendable (Owner) -> String? = { _ in nil }
    ) {
        self.list = list
        self.link = link
        self.rule = rule
        self.flowRule = flowRule
        self.owner = owner
        self.app = app
    }
}

extension LogLabels {
    /// The name the kernel gives an ifindex in this network namespace; nil when there is no such link.
    public static func linkName(_ index: Int32) -> String? {
        guard index > 0 else { return nil }
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard unsafe if_indextoname(UInt32(index), &name) != nil else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
