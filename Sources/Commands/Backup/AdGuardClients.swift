import Blocklist

/// A persistent client of AdGuard Home, as far as it matters here.
struct AdGuardClient {
    /// Settings of its own.
    struct Own: Hashable {
        /// Whether lists and rules hold for it.
        var isFiltered: Bool
        /// Engines whose safe search is enforced.
        var engines: Set<String>
    }

    var name: String
    var subjects: [PolicySubject]
    /// nil: those of everybody.
    var own: Own?
}

/// Puts clients into groups: one for all whose settings are the same.
///
/// Whoever is filtered as everybody is, and with at least the safe search of everybody, is in `default` and in a group with
/// the engines that come on top. Whoever has less safe search cannot be in `default`, which enforces it: its group gets the
/// lists and rules of `default` instead. Whoever is not filtered is in a group that nothing belongs to.
struct AdGuardGroups {
    /// Engines that are enforced for everybody.
    let everybody: Set<String>
    private(set) var groups: [ForeignSettings.Group] = []
    private(set) var safeSearch: [ForeignSettings.SafeSearch] = []
    private var names: [AdGuardClient.Own: String] = [:]

    init(everybody: Set<String>) {
        self.everybody = everybody
    }

    /// The groups of a client.
    mutating func groups(of own: AdGuardClient.Own?) -> [String] {
        guard let own, !own.isFiltered || own.engines != everybody else { return [PolicyGroup.standard] }
        let isMore = own.isFiltered && own.engines.isSuperset(of: everybody)
        let name = names[own] ?? add(own, isMore: isMore)
        return isMore ? [PolicyGroup.standard, name] : [name]
    }

    private mutating func add(_ own: AdGuardClient.Own, isMore: Bool) -> String {
        let kind = !own.isFiltered ? "unfiltered" : isMore ? "safesearch" : "less-safesearch"
        let number = groups.count { $0.name.hasPrefix("adguard-\(kind)") } + 1
        let name = "adguard-\(kind)" + (number > 1 ? "-\(number)" : "")
        let engines = own.engines.sorted()
        groups.append(
            .init(
                name: name, enabled: true,
                comment: "AdGuard Home: " + (own.isFiltered ? "filtered" : "not filtered") + ", safe search of "
                    + (engines.isEmpty ? "no engine" : engines.joined(separator: ", ")),
                isLikeDefault: own.isFiltered && !isMore))
        if !engines.isEmpty { safeSearch.append(.init(group: name, engines: AdGuardSafeSearch.words(own.engines))) }
        names[own] = name
        return name
    }
}

/// The engines of AdGuard Home's safe search (its `internal/filtering/safesearch.go`).
enum AdGuardSafeSearch {
    /// What the one switch meant before schema version 18, of a client before 19 (its `internal/configmigrate`, v18 and v19).
    static let early: Set<String> = ["bing", "duckduckgo", "google", "pixabay", "yandex", "youtube"]

    /// Engines as `safesearch on` takes them. Of YouTube's levels AdGuard Home enforces the moderate one.
    static func words(_ engines: Set<String>) -> [String] {
        engines.sorted().map { $0 == "youtube" ? "youtube:moderate" : $0 }
    }
}
