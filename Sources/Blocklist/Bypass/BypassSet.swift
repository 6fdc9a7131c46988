import Wire

/// The bypass protection in force, ready for lookups. Immutable; any thread.
@safe
final class BypassSet: Sendable {
    /// How its names are answered.
    private static let answers: [ResolverEntry.Kind: Verdict.Answer] = [
        .names: .configured, .nxdomain: .nxdomain, .nodata: .nodata,
    ]

    /// Its names. Each is a class of its own: the list is the line of the data, the slot is the answer.
    let image: IndexImage
    let prefixes: PrefixTable
    let ports: [FlowPort]
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer

    /// A port that flows must not go to.
    struct FlowPort: Sendable {
        var proto: UInt8
        var number: UInt16
        var line: Int32
    }

    /// - Parameters:
    ///   - entries: empty when the protection is off.
    ///   - seed: that of the index of the lists, so that a name is hashed once for both.
    init(_ entries: [ResolverEntry], seed: UInt64) throws {
        var builder = try IndexBuilder(.init(seed: seed), expected: entries.count)
        var table = PrefixTableBuilder()
        var ports: [FlowPort] = []
        for entry in entries {
            // What some other program wrote into the database may be wrong: it is left out.
            if let answer = BypassSet.answers[entry.kind], var text = try? DomainName(entry.subject).text {
                let number = try builder.add(
                    .init(list: entry.line, kind: [], title: "", lines: 0, slot: UInt16(answer.rawValue)))
                try text.withUTF8 { bytes in
                    try unsafe builder.add(UnsafeRawBufferPointer(bytes), class: number, line: Int(entry.line))
                }
            } else if entry.kind == .addresses, let prefix = try? IPPrefix(entry.subject) {
                table.add(prefix, source: UInt32(bitPattern: entry.line))
            } else if let port = entry.port {
                ports.append(FlowPort(proto: port.proto, number: port.number, line: entry.line))
            }
        }
        image = try IndexImage(bytes: builder.build(into: IndexSink()))
        self.ports = ports
        let bytes = table.finish()
        unsafe memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 64)
        let memory = unsafe memory
        unsafe bytes.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        prefixes = unsafe PrefixTable(memory)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// The port entries and the addresses, for one flow: the line of the data that forbids it.
    func line(_ remote: IPAddress, _ port: UInt16, _ proto: UInt8) -> Int32? {
        guard proto == 6 || proto == 17 else { return nil }
        var index = 0
        while index < ports.count {
            if ports[index].number == port, ports[index].proto == proto { return ports[index].line }
            index += 1
        }
        guard port == 443, let hit = prefixes.longest(remote) else { return nil }
        return Int32(bitPattern: hit.source)
    }
}
