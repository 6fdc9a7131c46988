/// Finds the symbols worth having in a sample of names.
///
/// A few rounds, each encoding the sample with the table so far: every symbol and every pair of neighbours is a
/// candidate, worth its length times its frequency; the best ones are the next table. Symbols grow together over the
/// rounds: `c` + `o`, `co` + `m`, `.` + `com`.
struct SymbolTrainer {
    private static let rounds = 6
    private var frequencies = [UInt32](repeating: 0, count: 256)
    private var pairs = [UInt32](repeating: 0, count: 256 * 256)

    /// - Parameters:
    ///   - sample: names one after another, followed by at least eight readable bytes.
    ///   - ends: where each name ends in the sample.
    static func train(_ sample: UnsafeRawPointer, _ ends: [Int]) -> SymbolTable {
        var table = SymbolTable()
        guard ends.count > 64 else { return table }
        var trainer = SymbolTrainer()
        for round in 1...rounds {
            unsafe trainer.count(sample, ends, table)
            table = trainer.choose(table, threshold: UInt32(round < rounds ? 2 : 3))
        }
        return table
    }

    private mutating func count(_ sample: UnsafeRawPointer, _ ends: [Int], _ table: SymbolTable) {
        for index in frequencies.indices { frequencies[index] = 0 }
        unsafe pairs.withUnsafeMutableBytes { unsafe _ = $0.initializeMemory(as: UInt8.self, repeating: 0) }
        table.withEncoder { encoder in
            var at = 0
            for end in ends {
                var previous = -1
                while at < end {
                    let code = unsafe encoder.next(sample + at, end - at)
                    frequencies[Int(code)] += 1
                    if previous >= 0 { pairs[previous << 8 | Int(code)] += 1 }
                    previous = Int(code)
                    at += encoder.length(code)
                }
            }
        }
    }

    private func choose(_ table: SymbolTable, threshold: UInt32) -> SymbolTable {
        var gains: [Phrase: UInt64] = [:]
        for (code, frequency) in frequencies.enumerated() where frequency > 0 && table.lengths[code] > 1 {
            let phrase = Phrase(word: table.words[code], length: Int(table.lengths[code]))
            gains[phrase, default: 0] += UInt64(frequency) * UInt64(phrase.length)
        }
        for first in 0..<table.words.count where frequencies[first] >= threshold {
            for second in 0..<table.words.count {
                let frequency = pairs[first << 8 | second]
                guard frequency >= threshold else { continue }
                let head = Int(table.lengths[first])
                let length = min(8, head + Int(table.lengths[second]))
                guard length > head else { continue }
                var word = table.words[first] | table.words[second] << UInt64(8 * head)
                if length < 8 { word &= (1 << UInt64(8 * length)) - 1 }
                gains[Phrase(word: word, length: length), default: 0] += UInt64(frequency) * UInt64(length)
            }
        }
        let best = gains.sorted { ($0.value, $0.key.word) > ($1.value, $1.key.word) }
            .prefix(SymbolTable.capacity - NameBytes.alphabet.count)
        return SymbolTable(phrases: best.map { ($0.key.word, $0.key.length) })
    }

    private struct Phrase: Hashable {
        let word: UInt64
        let length: Int
    }
}
