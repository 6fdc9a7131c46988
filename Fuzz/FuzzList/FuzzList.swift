@testable import Blocklist

/// list lines → entries: any bytes, cut into lines, read by the parser of every format. What must hold: no trap, and every
/// entry is a name in wire form that its own text parses back to.
func fuzzList(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = UnsafeBufferPointer(start: data, count: count)
    for line in bytes.split(separator: 10) where !line.isEmpty && line.count <= LineReader.longest {
        let line = UnsafeBufferPointer(rebasing: line)
        var sink = Sink()
        var hosts = HostsParser()
        hosts.parse(line.span, into: &sink)
        var domains = DomainsParser()
        domains.parse(line.span, into: &sink)
    }
    return 0
}

private struct Sink: LineSink {
    var entries = 0

    mutating func entry(_ name: borrowing NameText, _ options: EntryKind) {
        entries += 1
        let text = name.string
        var again = NameText()
        precondition(
            again.parse(Array(text.utf8).span) == nil && again.string == text, "\(text) is not what was parsed")
    }
    mutating func skip() {}
    mutating func refuse(_ problem: LineProblem) { precondition(!"\(problem)".isEmpty) }
}
