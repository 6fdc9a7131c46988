// The query log without kernel and network: how large a day is on disk, and how fast rows are written.
//
//     swift run -c release --package-path Benchmarks logday day   [SEED [CLIENTS]]    bytes a row of a made-up day
//     swift run -c release --package-path Benchmarks logday speed [SEED [ROWS]]       rows a second, and their cost
//     swift run -c release --package-path Benchmarks logday rate  [SEED [SECONDS]]    20,000 rows a second, none lost
//
// Works in a directory of its own below $TMPDIR, which is removed in the end.

import Foundation
import Kernel
import QueryLog
import Wire

extension Double {
    func power(_ exponent: Double) -> Double { pow(self, exponent) }
}

let arguments = CommandLine.arguments.dropFirst()
let kind = arguments.first ?? ""
let numbers = arguments.dropFirst().map { UInt64($0) }
guard ["day", "speed", "rate"].contains(kind), !numbers.contains(nil), numbers.count <= 2 else {
    FileHandle.standardError.write(Data("usage: logday day|speed|rate [SEED [CLIENTS|ROWS|SECONDS]]\n".utf8))
    exit(64)
}
let seed = (numbers.first ?? nil) ?? 1
let amount = numbers.count > 1 ? numbers[1] : nil
let folder = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-logday-\(getpid())")
try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
defer { try? FileManager.default.removeItem(at: folder) }

let labels = LogLabels(
    list: { ["starter", "ads", "malware", "tracking"][Int($0) & 3] }, link: { _ in "eth0" },
    app: { "/usr/bin/program\($0.path)" })

/// Processor time of this process so far, seconds.
func processorTime() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
}

func options() -> QueryLogWriter.Options {
    var options = QueryLogWriter.Options()
    options.limits = QueryLogLimits(maximumAge: nil, maximumBytes: nil)
    return options
}

func show(_ label: String, _ value: String) {
    print(label.padding(toLength: 44, withPad: " ", startingAt: 0), value)
}

switch kind {
case "day": try day(clients: Int(amount ?? 20))
case "rate": try rate(seconds: Int(amount ?? 60))
default: try speed(rows: Int(amount ?? 2_000_000))
}

/// Writes a day as it would come, a second's rows in a transaction, and measures the file.
func day(clients: Int) throws {
    var day = Day(seed: seed, clients: clients)
    let entries = day.entries()
    let path = folder.path + "/querylog.db"
    let ring = try QueryRing(capacity: 8 << 20)
    var settings = options()
    settings.interval = 60_000
    settings.foldsAbove = .max
    let writer = try QueryLogWriter(path: path, rings: [ring], labels: labels, options: settings)
    // Rows of twenty seconds go in one transaction, so that a day does not take a day.
    var next = entries[0].row.time + 20_000_000
    for entry in entries {
        if entry.row.time >= next {
            precondition(writer.flush(seconds: 60))
            next = entry.row.time + 20_000_000
        }
        precondition(ring.push(entry.row, qname: entry.name.bytes, answer: entry.digest.bytes))
    }
    writer.stop()
    precondition(writer.status.droppedRows == 0 && writer.status.writtenRows == entries.count)
    let size = try LogSize(of: path, tables: true)
    let blocked = entries.count { $0.row.verdict == .block }
    let cached = entries.count { $0.row.cached }
    show("seed, clients", "\(seed), \(clients)")
    show("queries", "\(entries.count)")
    show("blocked, cached", "\(blocked * 100 / entries.count) %, \(cached * 100 / entries.count) %")
    for table in size.tables where table.rows > 0 || table.bytes > 4096 {
        show("  \(table.name), rows, bytes", "\(table.rows) \(table.bytes)")
    }
    show("file, bytes", "\(size.fileBytes)")
    show("bytes a row", String(format: "%.1f", Double(size.fileBytes) / Double(entries.count)))
}

/// Pushes rows as fast as they are taken.
func speed(rows: Int) throws {
    var random = Random(seed)
    func names(_ count: Int) -> [Name] {
        (0..<count).map { Name("host\(random.next() % 1_000_000_000).site\($0 % 977).example")! }
    }
    for (label, count, folds) in [
        ("5,000 names", 5000, Int.max), ("10,000 names, folded", 10_000, 0), ("1,000,000 names", 1_000_000, Int.max),
    ] {
        let names = names(count)
        let path = folder.path + "/\(count).db"
        let ring = try QueryRing(capacity: 8 << 20)
        var settings = options()
        settings.foldsAbove = folds
        settings.niceness = 0
        let writer = try QueryLogWriter(path: path, rings: [ring], labels: labels, options: settings)
        var row = QueryRow()
        row.client = IPAddress(v4: 0xc000_020a)
        row.qtype = 1
        row.rcode = 0
        row.latency = 20
        row.time = 1_782_000_000_000_000
        row.verdict = .block
        row.reason = .list
        row.list = 1
        row.match = .exact
        row.labels = 3
        var digest = AnswerDigest()
        digest.append(IPAddress(v4: 0))
        let before = processorTime()
        let start = Clock.monotonic()
        for _ in 0..<rows {
            row.time += 5
            row.clientPort = UInt16(truncatingIfNeeded: random.next())
            let name = names[random.below(count)]
            if !ring.push(row, qname: name.bytes, answer: digest.bytes) {
                // The ring is full; wait for the writer, outside of what it costs.
                while ring.used > ring.capacity / 2 { usleep(200) }
                ring.push(row, qname: name.bytes, answer: digest.bytes)
            }
        }
        precondition(writer.flush(seconds: 600))
        let seconds = Double(Clock.monotonic() - start) / 1e9
        let cost = (processorTime() - before) * 1e6 / Double(rows)
        writer.stop()
        show(
            label,
            String(
                format: "%8.0f rows/s, %.2f µs of processor a row, %lld in the file", Double(rows) / seconds, cost,
                writer.status.writtenRows))
    }
}

/// A steady 20,000 rows a second.
func rate(seconds: Int) throws {
    var day = Day(seed: seed, clients: 40)
    let entries = day.entries()
    let ring = try QueryRing()
    let writer = try QueryLogWriter(
        path: folder.path + "/querylog.db", rings: [ring], labels: labels, options: options())
    let start = Clock.monotonic()
    let before = processorTime()
    var pushed = 0
    while true {
        let due = Int((Clock.monotonic() - start) / 50_000)
        if due >= seconds * 20_000 { break }
        while pushed < due {
            var entry = entries[pushed % entries.count]
            entry.row.time = Clock.unixMicroseconds()
            ring.push(entry.row, qname: entry.name.bytes, answer: entry.digest.bytes)
            pushed += 1
        }
        usleep(500)
    }
    let cost = (processorTime() - before) / Double(seconds)
    writer.stop()
    show("pushed in \(seconds) s", "\(pushed)")
    show(
        "written, folded, lost",
        "\(writer.status.writtenRows), \(writer.status.foldedRows), \(writer.status.droppedRows)")
    show("of a core, making the queries included", String(format: "%.1f %%", cost * 100))
}
