import Blocklist
import Foundation
import Wire
import Yams

/// An `AdGuardHome.yaml`, of schema versions before and after 2023: filters, the user's rules, rewrites, safe search and
/// clients; what else changes DNS there is told as not taken. Read with Yams (libyaml), so that mistakes are told with line and column.
enum AdGuardFile {
    static func read(_ path: String) throws -> ForeignSettings {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure("\(path) cannot be read")
        }
        guard data.count <= 32 << 20 else { throw CommandFailure("\(path): longer than 32 MiB") }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw CommandFailure("\(path): not valid UTF-8")
        }
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch let error as YamlError {
            throw CommandFailure("\(path): \(problem(error))")
        }
        guard let mapping = root?.mapping,
            ["filters", "user_rules", "dns"].contains(where: { mapping[.init($0)] != nil })
        else {
            throw CommandFailure(
                "\(path): no export of webtun, no gravity.db, and no AdGuardHome.yaml: it has neither filters nor user_rules"
            )
        }
        var reader = AdGuardReader(path: path, root: mapping)
        try reader.read()
        return reader.settings
    }

    private static func problem(_ error: YamlError) -> String {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            "line \(mark.line), column \(mark.column): \(problem)"
        default: "\(error)".split(separator: "\n").joined(separator: " ")
        }
    }
}

private struct AdGuardReader {
    let path: String
    let root: Node.Mapping
    var settings = ForeignSettings(origin: "AdGuard Home")
    /// Engines whose safe search is enforced for everybody.
    private var engines: Set<String> = []

    init(path: String, root: Node.Mapping) {
        self.path = path
        self.root = root
    }

    mutating func read() throws {
        try readFilters("filters", allow: false)
        try readFilters("whitelist_filters", allow: true)
        for node in try sequence(root, "user_rules") {
            let line = try text(node, "a rule")
            let rule = line.trimmingCharacters(in: .whitespaces)
            guard !rule.isEmpty, !rule.hasPrefix("!"), !rule.hasPrefix("#") else { continue }
            settings.add(adblock: rule, place: place(node))
        }
        // Since schema version 20 and 26 these stand under `filtering`, before under `dns`.
        for part in ["dns", "filtering"] {
            guard let mapping = root[.init(part)]?.mapping else { continue }
            try readRewrites(mapping)
            try readServices(mapping)
            engines.formUnion(readSafeSearch(mapping, of: ""))
            readRemoteServices(mapping, of: "")
            for key in ["filtering_enabled", "protection_enabled"] {
                if let node = mapping[.init(key)], node.bool == false {
                    leave(node, key, "switched off there; here lists and rules are in force")
                }
            }
        }
        if !engines.isEmpty {
            settings.safeSearch.append(
                .init(group: PolicyGroup.standard, engines: AdGuardSafeSearch.words(engines)))
        }
        try readClients()
    }

    private mutating func readFilters(_ key: String, allow: Bool) throws {
        // Hours, 0 for never; for all lists.
        let hours =
            [root[.init("filtering")]?.mapping, root[.init("dns")]?.mapping].lazy
            .compactMap { $0?[.init("filters_update_interval")]?.int }.first ?? 24
        for node in try sequence(root, key) {
            guard let filter = node.mapping, let url = filter[.init("url")] else {
                throw mistake(node, "a filter has a url")
            }
            let source = try text(url, "a url")
            let name = filter[.init("name")]?.string ?? ""
            settings.add(
                .init(
                    name: name.isEmpty ? source : name, source: source, allow: allow,
                    enabled: filter[.init("enabled")]?.bool ?? true, every: Int64(max(1, min(hours, 8760))) * 3600),
                place: place(node))
        }
    }

    private mutating func readRewrites(_ mapping: Node.Mapping) throws {
        for node in try sequence(mapping, "rewrites") {
            guard let rewrite = node.mapping, let domain = rewrite[.init("domain")]?.string else {
                throw mistake(node, "a rewrite has a domain")
            }
            let answer = rewrite[.init("answer")]?.string ?? ""
            let text = "\(domain) → \(answer)"
            guard rewrite[.init("enabled")]?.bool ?? true else {
                leave(node, text, "switched off there; local records are always in force")
                continue
            }
            let type = IPAddress(answer).map { $0.isIPv6 ? "AAAA" : "A" } ?? "CNAME"
            guard answer != "A", answer != "AAAA", !answer.isEmpty else {
                leave(node, text, "an exception among rewrites")
                continue
            }
            do {
                _ = try DomainName(domain.hasPrefix("*.") ? String(domain.dropFirst(2)) : domain)
                settings.records.append(
                    .init(domain, try RecordText.parse(type: type, data: answer, ttl: 300), comment: "AdGuard Home"))
            } catch {
                leave(node, text, "\(error)")
            }
        }
    }

    private mutating func readServices(_ mapping: Node.Mapping) throws {
        guard let node = mapping[.init("blocked_services")] else { return }
        let services = node.mapping.map { try? sequence($0, "ids") } ?? node.sequence.map { Array($0) } ?? []
        for service in services ?? [] {
            leave(service, service.string ?? "", "a blocked service: add a list of its names")
        }
    }

    /// The engines that are enforced, for everybody or for a client.
    private mutating func readSafeSearch(_ mapping: Node.Mapping, of client: String) -> Set<String> {
        guard let node = mapping[.init("safe_search")], let safeSearch = node.mapping else {
            return mapping[.init("safesearch_enabled")]?.bool == true ? AdGuardSafeSearch.early : []
        }
        guard let enabled = safeSearch[.init("enabled")], enabled.bool == true else { return [] }
        let engines = safeSearch.compactMap { $1.bool == true ? $0.string : nil }.filter { $0 != "enabled" }
        if engines.isEmpty { leave(enabled, client + "safe_search", "is on and names no engine") }
        return Set(engines)
    }

    private mutating func readRemoteServices(_ mapping: Node.Mapping, of client: String) {
        for key in ["parental_enabled", "safebrowsing_enabled"] {
            if let node = mapping[.init(key)], node.bool == true {
                leave(node, client + key, "a service of AdGuard's that is asked about every name")
            }
        }
    }

    private mutating func readClients() throws {
        guard let node = root[.init("clients")] else { return }
        let nodes = try node.mapping.map { try sequence($0, "persistent") } ?? node.sequence.map { Array($0) } ?? []
        var groups = AdGuardGroups(everybody: engines)
        for node in nodes {
            guard let mapping = node.mapping else { throw mistake(node, "a client has a name and ids") }
            let client = try readClient(node, mapping)
            let names = groups.groups(of: client.own)
            settings.clients += client.subjects.map { .init(subject: $0, groups: names, comment: client.name) }
        }
        settings.groups += groups.groups
        settings.safeSearch += groups.safeSearch
    }

    private mutating func readClient(_ node: Node, _ mapping: Node.Mapping) throws -> AdGuardClient {
        let name = mapping[.init("name")]?.string ?? ""
        var client = AdGuardClient(name: name, subjects: [])
        // Before schema version 6 a client had one address and one MAC address.
        let ids = try sequence(mapping, "ids") + ["ip", "mac"].compactMap { mapping[.init($0)] }
        for id in ids {
            guard let text = id.string, !text.isEmpty else { continue }
            do {
                client.subjects.append(try PolicySubject(client: text))
            } catch {
                leave(id, "\(name) \(text)", "\(error)")
            }
        }
        if mapping[.init("use_global_settings")]?.bool == false {
            client.own = AdGuardClient.Own(
                isFiltered: mapping[.init("filtering_enabled")]?.bool ?? false,
                engines: readSafeSearch(mapping, of: "\(name) "))
            readRemoteServices(mapping, of: "\(name) ")
        }
        if mapping[.init("use_global_blocked_services")]?.bool == false { try readServices(mapping) }
        for (key, reason) in [
            ("upstreams", "servers of a client's own: forwarding holds for everybody here"),
            ("tags", "tags of a client are known to AdGuard Home only"),
        ] {
            for item in try sequence(mapping, key) { leave(item, "\(name) \(item.string ?? key)", reason) }
        }
        for key in ["ignore_querylog", "ignore_statistics"] {
            if let node = mapping[.init(key)], node.bool == true {
                leave(node, "\(name) \(key)", "the log has the queries of all clients")
            }
        }
        return client
    }

    // MARK: Nodes

    /// The items under a key; none when the key is absent or empty.
    private func sequence(_ mapping: Node.Mapping, _ key: String) throws -> [Node] {
        guard let node = mapping[.init(key)] else { return [] }
        if let items = node.sequence { return Array(items) }
        if node.null != nil || node.string == "" { return [] }
        throw mistake(node, "'\(key)' is no sequence")
    }

    private func text(_ node: Node, _ what: String) throws -> String {
        guard let text = node.string else { throw mistake(node, "\(what) is no text") }
        return text
    }

    private mutating func leave(_ node: Node, _ text: String, _ reason: String) {
        settings.left.append(.init(place: place(node), text: text, reason: reason))
    }

    private func place(_ node: Node) -> String { node.mark.map { "line \($0.line)" } ?? "" }

    private func mistake(_ node: Node, _ reason: String) -> CommandFailure {
        CommandFailure("\(path): \(place(node)): \(reason)")
    }
}
