// What a compiled index costs, without kernel and network:
//
//     swift run -c release --package-path Benchmarks lists rebuild STATE
//     swift run -c release --package-path Benchmarks lists lookup STATE DOMAINS [SEED]
//     swift run -c release --package-path Benchmarks lists why STATE DOMAINS
//     swift run -c release --package-path Benchmarks lists flows STATE RULES [SEED]
//
// STATE is a state directory with lists (for `flows` one that is made), DOMAINS a file with the names of one of them, one a
// line, RULES how many rules on flows of each kind there are. Prints words and numbers, a pair a line: seconds, kilobytes,
// and nanoseconds of processor time a verdict (the median of nine rounds).

import Blocklist
import Foundation
import Kernel
import Wire

func fail(_ text: String) -> Never {
    FileHandle.standardError.write(Data((text + "\n").utf8))
    exit(64)
}

/// Nanoseconds of processor time of this thread.
func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
}

/// SplitMix64.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}

/// Query names in wire form, one behind the other, as a packet's bytes would be at hand.
struct Names {
    var bytes: [UInt8] = []
    var ends: [Int] = []

    mutating func append(_ name: String) {
        for label in name.utf8.split(separator: UInt8(ascii: ".")) {
            bytes.append(UInt8(label.count))
            bytes += label
        }
        bytes.append(0)
        ends.append(bytes.count)
    }
}

func measure(_ what: String, _ names: Names, _ policy: PolicySnapshot, blocked wanted: Int?) {
    var rounds: [Double] = []
    var found = 0
    for round in 0..<10 {
        found = 0
        let start = processorTime()
        names.bytes.withUnsafeBytes { bytes in
            var begin = 0
            for end in names.ends {
                let name = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[begin..<end]))
                if policy.verdict(for: name, qtype: 1).action == .block { found += 1 }
                begin = end
            }
        }
        // The first brings the pages in.
        if round > 0 { rounds.append((processorTime() - start) / Double(names.ends.count)) }
    }
    if let wanted, wanted != found { fail("lists: \(what): \(found) blocked, not \(wanted)") }
    print(what, String(format: "%.1f", rounds.sorted()[rounds.count / 2]))
}

func rebuild(_ state: String) throws {
    let store = try BlocklistStore(state: state)
    let start = Clock.monotonic()
    _ = try store.compile(force: true)
    print("seconds", String(format: "%.3f", Double(Clock.monotonic() - start) / 1e9))
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }?.split(separator: " ").dropFirst().first
    print("peak_kb", peak ?? "-")
    var file = stat()
    guard stat(state + "/blocklist.index", &file) == 0 else { fail("lists: there is no index") }
    print("bytes", file.st_size)
    let load = Clock.monotonic()
    let policy = try store.snapshot()
    print("load_seconds", String(format: "%.4f", Double(Clock.monotonic() - load) / 1e9))
    print("names", policy.names)
}

/// Names of a file, picked at random.
func pick(_ path: String, _ count: Int, _ random: inout Seeded) throws -> [String] {
    let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
    return (0..<count).map { _ in
        var start = Int.random(in: 0..<data.count, using: &random)
        while start > 0 && data[start - 1] != 10 { start -= 1 }
        var end = start
        while end < data.count && data[end] != 10 { end += 1 }
        return String(decoding: data[start..<end], as: UTF8.self)
    }
}

func lookup(_ state: String, _ domains: String, seed: UInt64) throws {
    let policy = try PolicySnapshot(state: state)
    print("names", policy.names)
    var random = Seeded(state: seed)
    let count = 131_072
    let tops = ["com", "net", "org", "de", "info", "xyz", "io"]
    func word() -> String { String(random.next() >> 30, radix: 36) }
    var unlisted = Names()
    for _ in 0..<count {
        let top = tops.randomElement(using: &random) ?? "com"
        unlisted.append("www.\(word()).\(word()).\(top)")
    }
    measure("unlisted", unlisted, policy, blocked: 0)
    var listed = Names()
    var below = Names()
    for name in try pick(domains, count, &random) {
        listed.append(name)
        below.append("www." + name)
    }
    measure("listed", listed, policy, blocked: count)
    measure("below", below, policy, blocked: count)
}

func why(_ state: String, _ domains: String) throws {
    let store = try BlocklistStore(state: state)
    let policy = try store.snapshot()
    var random = Seeded(state: 1)
    var times: [Double] = []
    for name in try pick(domains, 21, &random) {
        let start = Clock.monotonic()
        let found = try store.explain(DomainName("www." + name), in: policy)
        times.append(Double(Clock.monotonic() - start) / 1e6)
        guard found.line != nil else { fail("lists: why: no line for \(name)") }
    }
    times.sort()
    print("median_ms", String(format: "%.1f", times[10]))
    print("most_ms", String(format: "%.1f", times[20]))
}

let arguments = CommandLine.arguments
switch (arguments.count, arguments.dropFirst().first) {
case (3, "rebuild"): try rebuild(arguments[2])
case (4, "lookup"): try lookup(arguments[2], arguments[3], seed: 1)
case (5, "lookup"): try lookup(arguments[2], arguments[3], seed: UInt64(arguments[4]) ?? 1)
case (4, "why"): try why(arguments[2], arguments[3])
case (4, "flows"), (5, "flows"):
    guard let count = Int(arguments[3]), 1...30_000 ~= count else { fail("lists: RULES is 1 to 30000") }
    try flows(arguments[2], count, seed: arguments.count == 5 ? UInt64(arguments[4]) ?? 1 : 1)
default: fail("usage: lists rebuild STATE | lookup STATE DOMAINS [SEED] | why STATE DOMAINS | flows STATE RULES [SEED]")
}
