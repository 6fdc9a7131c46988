import Foundation

@testable import Blocklist

/// A directory of its own for one test, removed in the end.
final class Scratch {
    let path: String

    init() throws {
        let base = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-blocklist-\(UUID())")
        try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
        path = base.path
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Writes a file and returns its path.
    func file(_ name: String, _ text: String) throws -> String {
        try file(name, Array(text.utf8))
    }

    func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = path + "/" + name
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }
}

/// A small generator with a printed seed (SplitMix64).
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

/// Wire form of a name's text, lower case; labels may hold any byte but a dot.
func wire(_ text: String) -> [UInt8] {
    text.utf8.split(separator: UInt8(ascii: ".")).flatMap { [UInt8($0.count)] + Array($0) } + [0]
}

extension PolicySnapshot {
    func verdict(_ text: String, profile: UInt16 = 0) -> Verdict {
        verdict(for: wire(text).span.bytes, asker: Asker(profile: profile))
    }
}

extension IndexBuilder {
    mutating func add(_ name: String, class index: Int, line: Int) throws {
        var name = name
        try name.withUTF8 { try add(UnsafeRawBufferPointer($0), class: index, line: line) }
    }
}

/// A snapshot of an index built in memory and of rules.
func snapshot(
    _ classes: [IndexBuilder.SourceClass], _ entries: [(name: String, index: Int, line: Int)], rules: [UserRule] = [],
    hashMask: UInt64 = .max, namesPerLine: Int = 34, profiles: Profiles = .everything
) throws -> PolicySnapshot {
    var builder = try IndexBuilder(
        .init(seed: 77, hashMask: hashMask), classes, expected: entries.count, namesPerLine: namesPerLine)
    for entry in entries { try builder.add(entry.name, class: entry.index, line: entry.line) }
    let image = try IndexImage(bytes: builder.build(into: IndexSink()))
    return PolicySnapshot(index: image, overlay: try Overlay(rules, version: 0, seed: 77), profiles: profiles)
}
