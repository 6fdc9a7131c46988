/// What another filter was set to, in webtun's terms: found in its files, not in force yet.
public struct ForeignSettings: Sendable {
    /// A list to subscribe to.
    public struct List: Sendable, Equatable {
        public var name: String
        /// An address, or a file's path.
        public var source: String
        public var allow: Bool
        public var enabled: Bool
        /// Seconds from one fetching to the next.
        public var every: Int64
        /// By name; empty: `default`.
        public var groups: [String]

        public init(
            name: String, source: String, allow: Bool, enabled: Bool, every: Int64 = 86_400, groups: [String] = []
        ) {
            self.groups = groups
            self.name = name
            self.source = source
            self.allow = allow
            self.enabled = enabled
            self.every = every
        }
    }

    /// A group that is needed.
    public struct Group: Sendable, Equatable {
        public var name: String
        public var enabled: Bool
        public var comment: String
        /// Whether all lists and rules of `default` belong to it too.
        public var isLikeDefault: Bool

        public init(name: String, enabled: Bool, comment: String, isLikeDefault: Bool = false) {
            self.name = name
            self.enabled = enabled
            self.comment = comment
            self.isLikeDefault = isLikeDefault
        }
    }

    /// Engines whose safe search is enforced for a group.
    public struct SafeSearch: Sendable, Equatable {
        public var group: String
        /// As `setSafeSearch` takes them.
        public var engines: [String]

        public init(group: String, engines: [String]) {
            self.group = group
            self.engines = engines
        }
    }

    /// Somebody who is assigned to groups.
    public struct Client: Sendable, Equatable {
        public var subject: PolicySubject
        public var groups: [String]
        public var comment: String

        public init(subject: PolicySubject, groups: [String], comment: String) {
            self.subject = subject
            self.groups = groups
            self.comment = comment
        }
    }

    /// Something that was not taken.
    public struct Left: Sendable, Equatable {
        /// Where it stands, such as `line 12` or `domainlist 4`.
        public var place: String
        public var text: String
        public var reason: String

        public init(place: String, text: String, reason: String) {
            self.place = place
            self.text = text
            self.reason = reason
        }
    }

    /// What wrote the file, such as `Pi-hole`.
    public var origin: String
    public var lists: [List] = []
    public var rules: [BlocklistStore.RuleRequest] = []
    public var groups: [Group] = []
    public var clients: [Client] = []
    public var records: [BlocklistStore.RecordRequest] = []
    public var safeSearch: [SafeSearch] = []
    public var left: [Left] = []

    public init(origin: String) {
        self.origin = origin
    }

    /// Adds a list, when it is one that can be fetched or read.
    public mutating func add(_ list: List, place: String) {
        var list = list
        if list.source.hasPrefix("file://") { list.source = String(list.source.dropFirst("file://".count)) }
        guard !ListURL.looksLike(list.source) else {
            do {
                list.source = try ListURL(list.source).text
                lists.append(list)
            } catch {
                left.append(Left(place: place, text: list.source, reason: "\(error)"))
            }
            return
        }
        guard list.source.hasPrefix("/") else {
            left.append(Left(place: place, text: list.source, reason: "neither an address nor a path from / on"))
            return
        }
        lists.append(list)
    }

    /// Adds a rule, when it is one.
    public mutating func add(_ rule: BlocklistStore.RuleRequest, place: String) {
        do {
            if rule.match == .regex { _ = try Pattern(rule.text) } else { _ = try DomainName(rule.text) }
            rules.append(rule)
        } catch {
            left.append(Left(place: place, text: rule.text, reason: "\(error)"))
        }
    }
}
