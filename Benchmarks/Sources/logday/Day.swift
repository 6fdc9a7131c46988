import Kernel
import QueryLog
import Wire

/// A made-up day of a home or small office, from a seed: the same seed makes the same queries.
///
/// Sites have a popularity like Zipf's, and each is made of hosts of its own and of shared third parties (content
/// networks, advertisements, counters; a third of these are blocked). A visit asks for some of a site's hosts within
/// seconds, each for A and AAAA and by browsers for HTTPS. Devices ask for their services again and again, day and night.
/// Content networks change their addresses from one TTL to the next; one name in fifty was never seen before. One client is
/// this machine itself, whose rows name the program. Answers are cached for their TTL.
struct Day {
    struct Host {
        var name: Name
        var isBlocked: Bool
        /// Seconds.
        var ttl: Int
        var target: Name?
        /// Addresses of one answer, and how many sets of them there are.
        var addresses: Int
        var sets: Int
        var hasIPv6: Bool
        var hasHTTPS: Bool
        var isSecure: Bool
        var exists: Bool
    }

    struct Entry {
        var row: QueryRow
        var name: Name
        var digest: AnswerDigest
    }

    private var random: Random
    private var hosts: [Host] = []
    private var sites: [[Int]] = []
    private var siteWeights: [Double] = []
    private var services: [Int] = []
    private var freshUntil: [UInt64: Int64] = [:]
    private let clients: Int
    private let start: Int64 = 1_782_000_000_000_000

    init(seed: UInt64, clients: Int) {
        random = Random(seed)
        self.clients = clients
        let third = (0..<600).map { _ in addHost(blocked: random.chance(0.35), isNetwork: random.chance(0.5)) }
        services = (0..<120).map { _ in addHost(blocked: random.chance(0.25), isNetwork: false) }
        var weight = 0.0
        for rank in 1...4000 {
            let base = domain()
            var made = (0..<random.below(4) + 1).map { index in
                addHost(blocked: false, isNetwork: random.chance(0.2), base: base, isFirst: index == 0)
            }
            for _ in 0..<random.below(18) + 2 { made.append(third[random.zipf(third.count)]) }
            sites.append(made)
            weight += 1 / Double(rank)
            siteWeights.append(weight)
        }
    }

    /// All queries of the day in the order of their time.
    mutating func entries() -> [Entry] {
        // Share of a day's visits in each hour.
        let hours = [3, 2, 1, 1, 1, 2, 8, 20, 26, 24, 22, 24, 28, 26, 24, 25, 28, 34, 42, 48, 50, 44, 26, 10]
        var moments: [(time: Int64, client: Int, host: Int)] = []
        for client in 0..<clients {
            for (hour, share) in hours.enumerated() {
                for _ in 0..<random.below(share + 1) / 2 {
                    let visit = Int64(hour * 3600 + random.below(3600)) * 1_000_000
                    for host in sites[random.weighted(siteWeights)] where random.chance(0.7) {
                        moments.append((visit + Int64(random.below(3_000_000)), client, host))
                    }
                }
            }
            for _ in 0..<random.below(12) + 4 {
                let host = services[random.zipf(services.count)]
                let period = Int64([30, 60, 300, 300, 900, 3600][random.below(6)]) * 1_000_000
                var at = Int64(random.below(Int(period)))
                while at < 86_400_000_000 {
                    moments.append((at, client, host))
                    at += period + Int64(random.below(2_000_000))
                }
            }
        }
        moments.sort { $0.time < $1.time }
        var entries: [Entry] = []
        for moment in moments {
            var host = moment.host
            if random.chance(0.02) { host = addHost(blocked: random.chance(0.2), isNetwork: true) }
            append(host, moment.client, start + moment.time, &entries)
        }
        return entries
    }

    private mutating func append(_ index: Int, _ client: Int, _ time: Int64, _ entries: inout [Entry]) {
        let host = hosts[index]
        let isBrowser = client % 2 == 0
        var row = QueryRow()
        row.client = IPAddress(v4: 0xc000_0200 + UInt32(10 + client))
        row.clientPort = UInt16(20_000 + random.below(40_000))
        row.resolver = IPAddress(v4: 0xc000_0201)
        row.link = 2
        if client == 0 {
            let app = random.zipf(12)
            let isShort = app > 6
            row.owner = Owner(
                uid: 1000, pid: Int32(isShort ? 30_000 + random.below(3000) : 1000 + app), path: UInt64(app + 1),
                certainty: .exact)
        }
        var at = time
        for qtype in [1, 28, 65] as [UInt16] where qtype != 65 || isBrowser {
            row.time = at
            row.qtype = qtype
            var digest = AnswerDigest()
            decide(host, index, at, &row, &digest)
            entries.append(Entry(row: row, name: host.name, digest: digest))
            at += Int64(random.below(300) + 20)
        }
    }

    private mutating func decide(
        _ host: Host, _ index: Int, _ time: Int64, _ row: inout QueryRow, _ digest: inout AnswerDigest
    ) {
        row.verdict = .forward
        row.reason = .none
        row.match = .none
        row.list = -1
        row.rule = -1
        row.rcode = 0
        if host.isBlocked {
            row.verdict = .block
            row.reason = .list
            row.list = Int32(1 + index % 3)
            row.rule = Int32(index * 17 % 100_000)
            row.match = index % 4 == 0 ? .exact : .suffix
            row.labels = index % 4 == 0 ? UInt8(host.name.labels) : 2
            row.latency = Int32(15 + random.below(40))
            row.cached = false
            row.dnssec = .none
            row.upstream = IPAddress(v4: 0)
            if row.qtype == 1 { digest.append(IPAddress(v4: 0)) }
            if row.qtype == 28 { digest.append(IPAddress(high: 0, low: 0)) }
            return
        }
        row.upstream = IPAddress(v4: 0xc633_6435)
        row.dnssec = host.isSecure ? .secure : .unchecked
        let key = UInt64(index) << 16 | UInt64(row.qtype)
        row.cached = freshUntil[key] ?? 0 > time
        if !row.cached { freshUntil[key] = time + Int64(host.ttl) * 1_000_000 }
        row.latency =
            row.cached ? Int32(12 + random.below(30)) : Int32(4000 + random.below(8000) * (1 + random.below(8)))
        guard host.exists else {
            row.rcode = 3
            return
        }
        let isAnswered = row.qtype == 1 || row.qtype == 28 && host.hasIPv6 || row.qtype == 65 && host.hasHTTPS
        guard isAnswered else { return }
        if let target = host.target { digest.append(target: target.bytes) }
        // The set that the cache holds since it was asked for.
        let asked = (freshUntil[key] ?? 0) / 1_000_000 / Int64(host.ttl)
        let set = UInt32(truncatingIfNeeded: (asked &* 2_654_435_761 >> 7) % Int64(host.sets))
        for number in 0..<UInt32(host.addresses) {
            let address = UInt32(truncatingIfNeeded: index) &* 977 &+ set &* 13 &+ number
            if row.qtype == 1 { digest.append(IPAddress(v4: 0xcb00_0000 | address & 0xffff)) }
            if row.qtype == 28 { digest.append(IPAddress(high: 0x2001_0db8_0000_0000, low: UInt64(address))) }
        }
    }

    private mutating func addHost(blocked: Bool, isNetwork: Bool, base: String? = nil, isFirst: Bool = false) -> Int {
        let domain = base ?? self.domain()
        let prefix = isFirst ? (random.chance(0.6) ? "www." : "") : label(isNetwork ? 12 : 5) + "."
        let name = Name((isNetwork && random.chance(0.4) ? label(9) + "-" : "") + prefix + domain) ?? Name("a.example")!
        let isWide = isNetwork && !blocked
        hosts.append(
            Host(
                name: name, isBlocked: blocked, ttl: [20, 60, 60, 300, 300, 3600][random.below(6)],
                target: random.chance(isNetwork ? 0.5 : 0.2) ? Name(label(8) + ".edge." + self.domain()) : nil,
                addresses: isWide ? random.below(4) + 1 : 1, sets: isWide ? 1 + random.below(12) : 1,
                hasIPv6: random.chance(0.45), hasHTTPS: random.chance(0.2), isSecure: random.chance(0.1),
                exists: !random.chance(0.03)))
        return hosts.count - 1
    }

    private mutating func domain() -> String {
        label(5 + random.below(8)) + ["com", "net", "org", "io", "example"][random.below(5)].dotted
    }

    private mutating func label(_ length: Int) -> String {
        let consonants = Array("bcdfghklmnprstvwz")
        let vowels = Array("aeiou")
        return String(
            (0..<max(1, length)).map { $0 % 2 == 0 ? consonants[random.below(17)] : vowels[random.below(5)] })
    }
}

extension String {
    fileprivate var dotted: String { "." + self }
}

/// SplitMix64 with what a day needs.
struct Random {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }
    mutating func unit() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }
    mutating func chance(_ share: Double) -> Bool { unit() < share }

    /// 0..<count, the first far more often than the last.
    mutating func zipf(_ count: Int) -> Int {
        // The inverse of the integral of 1/x.
        let value = Double(count + 1).power(unit())
        return min(count - 1, max(0, Int(value) - 1))
    }

    /// An index by rising sums of weights.
    mutating func weighted(_ sums: [Double]) -> Int {
        let wanted = unit() * (sums.last ?? 0)
        var (low, high) = (0, sums.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
