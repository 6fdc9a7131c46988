/// The reverse-path filter of IPv4 (`rp_filter` in the kernel's ip-sysctl): 0 off, 1 strict, 2 loose; the greater one of
/// `all` and the link counts.
enum ReversePath {
    static func setting(_ link: String) -> String { "/proc/sys/net/ipv4/conf/\(link)/rp_filter" }

    /// Whether the filter of a link is strict. A link that is gone is not.
    static func isStrict(_ link: String) -> Bool {
        guard let own = value(link) else { return false }
        return max(own, value("all") ?? 0) == 1
    }

    /// What makes the strict ones of the links loose.
    static func changes(_ links: [LinkTable.Link], except tun: String) -> [Change] {
        links.filter { !$0.isLoopback && $0.name != tun && isStrict($0.name) }.map { .loosen(link: $0.name) }
    }

    private static func value(_ link: String) -> Int? {
        Change.read(setting(link)).flatMap { Int($0) }
    }
}
