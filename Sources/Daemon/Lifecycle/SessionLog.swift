import Blocklist
import Kernel
import PacketTunnel
import QueryLog
import Synchronization
import Wire

/// The query log: opened around what fills it.
extension Session {
    /// A log that is not to be had is a problem to tell, and none for DNS.
    func withLog(_ body: (QueryRing?, QueryLogWriter?) async throws -> Void) async throws {
        guard configuration.log.enabled else { return try await body(nil, nil) }
        let ring: QueryRing
        let writer: QueryLogWriter
        do {
            ring = try QueryRing(capacity: configuration.log.ringBytes)
            writer = try openLog(ring)
        } catch {
            report(.log, "no query is logged: \(error)")
            return try await body(nil, nil)
        }
        defer { writer.stop() }
        try await body(ring, writer)
    }

    private func openLog(_ ring: QueryRing) throws -> QueryLogWriter {
        let labels = LogLabels(
            list: { [weak self] id in self?.state.withLock { $0.policy }?.listName(id) },
            rule: RuleTexts(state: self.options.state).text,
            flowRule: RuleTexts(state: self.options.state).text(list:rule:),
            owner: { [weak self] row in self?.state.withLock { $0.owners }?.found(FlowKey(row)) ?? .unknown },
            app: { [weak self] owner in self?.state.withLock { $0.owners }?.program(of: owner) })
        return try QueryLogWriter(
            path: self.options.state + "/querylog.db", rings: [ring], labels: labels,
            options: configuration.log.options)
    }
}

/// User rules as written, for the log.
private struct RuleTexts: Sendable {
    let state: String

    func text(_ id: Int32) -> String? {
        guard let store = try? BlocklistStore(state: state), let rules = try? store.rules() else { return nil }
        return rules.first { $0.id == id }?.name
    }

    /// A rule on flows, or the line of a list of addresses.
    func text(list: Int32, rule: Int32) -> String? {
        guard let store = try? BlocklistStore(state: state) else { return nil }
        guard list == 0 else { return (try? store.rule(list: list, line: Int(rule))) ?? nil }
        return (try? store.flowRules())?.first { $0.id == rule }?.conditions.description
    }
}

extension FlowKey {
    /// The flow that a query came in.
    fileprivate init(_ row: borrowing QueryRow) {
        self.init(
            source: row.client, sourcePort: row.clientPort, destination: row.resolver, destinationPort: 53,
            proto: row.transport == .udp ? Packet.Number.udp : Packet.Number.tcp)
    }
}
