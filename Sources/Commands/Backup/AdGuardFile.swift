import Blocklist
import Foundation
import Yams

/// An `AdGuardHome.yaml`, of schema versions before and after 2023: filters, the user's rules; what else changes DNS there
/// is told as not taken. Read with Yams (libyaml), so that mistakes are told with line and column.
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
            try readSafeSearch(mapping)
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
            leave(node, "\(domain) → \(rewrite[.init("answer")]?.string ?? "")", "a rewrite")
        }
    }

    private mutating func readServices(_ mapping: Node.Mapping) throws {
        guard let node = mapping[.init("blocked_services")] else { return }
        let services = node.mapping.map { try? sequence($0, "ids") } ?? node.sequence.map { Array($0) } ?? []
        for service in services ?? [] {
            leave(service, service.string ?? "", "a blocked service: add a list of its names")
        }
    }

    private mutating func readSafeSearch(_ mapping: Node.Mapping) throws {
        let node = mapping[.init("safe_search")]?.mapping?[.init("enabled")] ?? mapping[.init("safesearch_enabled")]
        if let node, node.bool == true { leave(node, "safe_search", "safe search is not taken over") }
        for key in ["parental_enabled", "safebrowsing_enabled"] {
            if let node = mapping[.init(key)], node.bool == true {
                leave(node, key, "a service of AdGuard's that is asked about every name")
            }
        }
    }

    private mutating func readClients() throws {
        guard let node = root[.init("clients")] else { return }
        let clients = try node.mapping.map { try sequence($0, "persistent") } ?? node.sequence.map { Array($0) } ?? []
        for client in clients {
            let ids = (client.mapping?[.init("ids")]?.sequence).map { $0.compactMap(\.string) } ?? []
            let name = client.mapping?[.init("name")]?.string ?? ""
            leave(client, ([name] + ids).joined(separator: " "), "settings of a client")
        }
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
