import Wire

/// The bypass protection in force, ready for lookups. Immutable; any thread.
@safe
final class BypassSet: Sendable {
    /// The lists that stand for it in the index of its names, by how they are answered.
    private static let answers: [ResolverEntry.Kind: Int] = [.names: 0, .nxdomain: 1, .nodata: 2]

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
        let highest = entries.map { Int($0.line) }.max() ?? 0
        let classes = (0..<3).map {
            IndexBuilder.SourceClass(list: Int32($0), kind: EntryKind(rawValue: 0), title: "", lines: highest)
        }
        var builder = try IndexBuilder(.init(seed: seed), classes, expected: entries.count)
        var table = PrefixTableBuilder()
        var ports: [FlowPort] = []
        for entry in entries {
            // What some other program wrote into the database may be wrong: it is left out.
            if let answer = BypassSet.answers[entry.kind], var text = try? DomainName(entry.subject).text {
                try text.withUTF8 { bytes in
                    try unsafe builder.add(UnsafeRawBufferPointer(bytes), class: answer, line: Int(entry.line))
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
