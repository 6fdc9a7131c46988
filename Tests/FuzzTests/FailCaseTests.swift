import Foundation
import TestPackets
import Testing

/// Inputs that broke a promise once, and short runs of the fuzz targets without guidance. A breach is a trap, so it ends
/// the whole run and names its promise.
@Suite struct FailCaseTests {
    @Test(arguments: FuzzTarget.allCases) func keptInputsPass(target: FuzzTarget) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Fuzz/FailCases/\(target.rawValue)").standardizedFileURL
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        for file in files { target.run(Array(try Data(contentsOf: file))) }
    }

    @Test(arguments: FuzzTarget.allCases) func mutatedSeedsPass(target: FuzzTarget) {
        let seed = UInt64.random(in: 0 ... .max)
        print("FailCaseTests \(target.rawValue): seed \(seed)")
        var generator = SeededGenerator(seed)
        for input in target.seeds {
            target.run(input)
            for _ in 0..<150 {
                var mutated = input
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let at = Int.random(in: 0..<mutated.count, using: &generator)
                    mutated[at] = .random(in: 0...255, using: &generator)
                }
                mutated.removeLast(Int.random(in: 0...2, using: &generator))
                target.run(mutated)
            }
        }
    }
}
