// What the patterns of lists cost a query: verdicts on random names with the same 100,000 listed names and no patterns, then
// 100 to 10,000 of them.
//
//   patterns [ROUNDS]

import Blocklist
import Foundation
import Glibc

/// SplitMix64.
struct Random {
    var state: UInt64

    mutating func next(_ bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return Int((word ^ word >> 31) % UInt64(bound))
    }
}

let syllables = [
    "ad", "track", "shop", "net", "cloud", "media", "pix", "stat", "home", "news", "play", "data", "mail", "cdn", "go",
    "in",
    "over", "port", "al", "er", "ing", "on", "ist", "ex", "ora", "uni", "bit", "lab", "sys", "web",
]

func label(_ random: inout Random) -> String {
    (0...1 + random.next(2)).map { _ in syllables[random.next(syllables.count)] }.joined()
        + (random.next(4) == 0 ? String(random.next(100)) : "")
}

func name(_ random: inout Random) -> String {
    (0...random.next(3)).map { _ in label(&random) }.joined(separator: ".")
        + [".com", ".net", ".example", ".org", ".co.uk"][random.next(5)]
}

func pattern(_ random: inout Random) -> String {
    switch random.next(5) {
    case 0: "/^\(label(&random))[0-9]+[-.]/"
    case 1: "/(^|\\.)\(label(&random))(er|ing|s)?\\.\(label(&random))\\./"
    case 2: "||\(label(&random))*.\(label(&random)).com^"
    case 3: "*\(label(&random))-\(label(&random))*"
    default: "/\(label(&random))[a-z]{2,6}\\.(com|net)$/"
    }
}

let rounds = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 20
let directory = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-patterns-\(getpid())").path
try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
defer { try? FileManager.default.removeItem(atPath: directory) }
var random = Random(state: 7)
let listed = (0..<100_000).map { _ in name(&random) }
let asked: [[UInt8]] = (0..<50_000).map { _ in
    name(&random).utf8.split(separator: UInt8(ascii: ".")).flatMap { [UInt8($0.count)] + Array($0) } + [0]
}
print("patterns   add s   index B   verdict ns   matched")
for count in [0, 100, 1_000, 10_000] {
    let state = directory + "/\(count)"
    let store = try BlocklistStore(state: state)
    try Data(listed.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: directory + "/names.txt"))
    _ = try store.add(directory + "/names.txt", .init(format: .domains))
    var random = Random(state: 9)
    let text = (["||first.example^"] + (0..<count).map { _ in pattern(&random) }).joined(separator: "\n")
    try Data(text.utf8).write(to: URL(fileURLWithPath: directory + "/patterns.txt"))
    let start = clock()
    let report = try store.add(directory + "/patterns.txt", .init(format: .adblock))
    try store.compile()
    let spent = Double(clock() - start) / Double(CLOCKS_PER_SEC)
    let policy = try store.snapshot()
    var matched = 0
    var best = Double.infinity
    for _ in 0..<rounds {
        matched = 0
        let start = clock()
        for name in asked where policy.verdict(for: name.span.bytes, qtype: 1).match == .regex { matched += 1 }
        best = min(best, Double(clock() - start) / Double(CLOCKS_PER_SEC) / Double(asked.count) * 1e9)
    }
    var file = stat()
    _ = stat(state + "/blocklist.index", &file)
    let columns = [
        "\(report.entries - 1)", String(format: "%.2f", spent), "\(file.st_size)", String(format: "%.0f", best),
        "\(matched)",
    ]
    print(columns.map { String(repeating: " ", count: max(0, 9 - $0.count)) + $0 }.joined(separator: " "))
}
