public import Export
import Foundation
public import Kernel
public import QueryLog
public import Wire

/// How webtun is set up: the keys of `webtun.toml`, each with a value and the place it comes from.
///
/// A value; any thread. `Configuration()` holds the defaults, `load` reads a file and the command line over them.
public struct Configuration: Sendable, Equatable {
    public enum Backend: String, Sendable, CaseIterable { case auto, link, route }
    public enum Mode: String, Sendable, CaseIterable { case dns, full }
    /// What becomes of a flow that no rule and no list speaks of.
    public enum Standard: String, Sendable, CaseIterable { case allow, deny }
    /// How a flow is dropped: with an answer, or without.
    public enum Dropping: String, Sendable, CaseIterable { case reject, silent }
    public enum Failing: String, Sendable, CaseIterable { case open, closed }
    public enum BlockingMode: String, Sendable, CaseIterable { case null, nxdomain, nodata, refused, custom }

    /// `[capture]`: which packets webtun sees.
    public struct Capture: Sendable, Equatable {
        public var backend = Backend.auto
        public var mode = Mode.dns
        /// Links whose outgoing queries are captured, `*` and `?` as in the shell; empty: every link but
        /// the loopback, the served, and parts of a bridge or bond.
        public var links: [String] = []
        /// Links whose incoming queries, those of clients behind this machine, are captured.
        public var serve: [String] = []
        /// `SO_MARK` of webtun's own sockets.
        public var mark: UInt32 = 0x7774_0001
        /// Routing table of the back end `route`.
        public var table: UInt32 = 7774
        public var fail = Failing.closed
    }

    /// `[tunnel]`: the TUN device.
    public struct Tunnel: Sendable, Equatable {
        public var name = "webtun0"
        public var address = IPAddress(v4: 0x0a01_0001)
        public var peer = IPAddress(v4: 0x0a01_0002)
        public var address6 = IPAddress(high: 0xfd77_6562_7475_6e00, low: 1)
        public var peer6 = IPAddress(high: 0xfd77_6562_7475_6e00, low: 2)
        /// Bytes; 0: that of the captured links.
        public var mtu: UInt32 = 0
        /// Whether the kernel hands over super-packets.
        public var offloads = true
        /// Full mode: only packets to these prefixes are captured; empty: to any.
        public var include: [Prefix] = []
        /// Full mode: packets to these prefixes are not captured.
        public var exclude: [Prefix] = []
        /// Full mode: neither are those to the networks that the machine is on.
        public var excludesLocal = true
    }

    /// `[flows]`: what full mode does with what is no DNS.
    public struct Flows: Sendable, Equatable {
        public var standard = Standard.allow
        public var drop = Dropping.reject
        /// Flows that are remembered at a time.
        public var capacity: UInt32 = 131_072
        /// Whether the packets of allowed flows stay in the kernel.
        public var fastPath = true
    }

    /// `[dns]`: what is answered, and who is asked.
    public struct DNS: Sendable, Equatable {
        /// Empty: the servers the machine uses.
        public var upstream: [SocketAddress] = []
        public var blockingMode = BlockingMode.null
        /// For the blocking mode `custom`.
        public var blockingAddresses: [IPAddress] = []
        /// Seconds that clients may keep a blocked answer.
        public var blockingTTL: UInt32 = 10
        public var cacheBytes = 4 << 20
        /// Seconds that an answer is kept at most.
        public var maxTTL: UInt32 = 86_400
        /// Seconds that the absence of a name or record is kept at most.
        public var maxNegativeTTL: UInt32 = 3600
        public var listenerPort: UInt16 = 53_535
        public var tcpIdleSeconds: UInt32 = 10
        public var tcpConnections = 256
    }

    /// `[log]`: the query log.
    public struct Log: Sendable, Equatable {
        public var enabled = true
        /// Memory between the packet thread and the writer.
        public var ringBytes = 2 << 20
        /// Memory for rows that wait for the database.
        public var waitingBytes = 4 << 20
        /// Seconds; 0: no limit.
        public var maxAge: UInt64 = 90 * 86_400
        /// Bytes of `querylog.db`; 0: no limit.
        public var maxBytes: UInt64 = 1 << 30
        /// Seconds that blocked queries and dropped flows are kept; 0: as long as all others.
        public var maxBlockedAge: UInt64 = 0
        /// Rows of queries and flows; 0: no limit.
        public var maxRows: UInt64 = 0
        public var privacy = QueryLogPrivacy.Level.everything
        /// Bits of clients' addresses that are kept.
        public var clientPrefix: UInt8 = 32
        public var clientPrefix6: UInt8 = 128
    }

    /// `[owners]`: who sends packets.
    public struct Owners: Sendable, Equatable {
        /// The cgroup whose processes the kernel tells of: `auto`, `none`, or a directory.
        public var cgroup = "auto"
    }

    /// `[metrics]`: for Prometheus.
    public struct Metrics: Sendable, Equatable {
        /// Where it is listened for requests; nil: nowhere.
        public var listen: SocketAddress?
    }

    /// `[dnstap]`: queries and answers as they are, for a receiver.
    public struct Dnstap: Sendable, Equatable {
        /// nil: none.
        public var to: Endpoint?
        /// The queries too, not the answers only.
        public var queries = false
        /// Empty: the name of the host.
        public var identity = ""
    }

    /// `[events]`: what happens to webtun, for the system's log.
    public struct Events: Sendable, Equatable {
        /// nil: standard error.
        public var to: EventSocket.Target?
        public var queries = Exporter.QueryEvents.none
    }

    /// `[lists]`
    public struct Lists: Sendable, Equatable {
        /// The folder whose lists are loaded on the first run; empty: none.
        public var starter = installed

        /// Where the lists are that were installed with this program: a program in `PREFIX/bin` has them in `PREFIX/share`.
        private static let installed: String = {
            let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
            let suffix = "/bin/webtun"
            let prefix = program.hasSuffix(suffix) ? String(program.dropLast(suffix.count)) : "/usr"
            return prefix + "/share/webtun/blocklists"
        }()
    }

    /// Where a value comes from.
    public enum Origin: Sendable, Equatable, CustomStringConvertible {
        case builtIn
        case file(String, line: Int)
        /// The option as the user wrote it, for instance `--upstream`.
        case option(String)

        public var description: String {
            switch self {
            case .builtIn: "default"
            case .file(let path, let line): "\(path):\(line)"
            case .option(let name): name
            }
        }

        /// The key as a message about it names it: an option stands for itself.
        func key(_ key: String) -> String? {
            if case .option = self { nil } else { key }
        }
    }

    public var capture = Capture()
    public var tunnel = Tunnel()
    public var flows = Flows()
    public var dns = DNS()
    public var log = Log()
    public var owners = Owners()
    public var metrics = Metrics()
    public var dnstap = Dnstap()
    public var events = Events()
    public var lists = Lists()
    /// By key, for instance `dns.blocking_ttl`; absent: built in.
    private(set) var origins: [String: Origin] = [:]

    /// The defaults.
    public init() {}

    public func origin(of key: String) -> Origin { origins[key] ?? .builtIn }

    mutating func set(_ setting: Setting, to value: ConfigurationValue, from origin: Origin) -> String? {
        if let problem = setting.assign(&self, value) { return problem }
        origins[setting.key] = origin
        return nil
    }
}

/// What is wrong with a configuration: every problem found, each with its place. Nothing of it is in force.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    public struct Problem: Equatable, Sendable, CustomStringConvertible {
        /// `etc/webtun.toml:12` or an option.
        public let place: String
        /// The key, when there is one.
        public let key: String?
        public let reason: String

        public var description: String {
            key.map { "\(place): \($0): \(reason)" } ?? "\(place): \(reason)"
        }
    }

    public let problems: [Problem]

    public var description: String { problems.map(\.description).joined(separator: "\n") }
}
