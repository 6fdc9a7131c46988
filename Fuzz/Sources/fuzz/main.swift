import Foundation
import FuzzTargets

// fuzz TARGET [libFuzzer's arguments]: fuzzes one target.
// fuzz --seeds TARGET DIRECTORY: writes the inputs to begin with.

@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

nonisolated(unsafe) var chosen = FuzzTarget.packets

func fail(_ text: String) -> Never {
    FileHandle.standardError.write(Data("fuzz: \(text)\n".utf8))
    exit(64)
}

func target(_ name: String) -> FuzzTarget {
    guard let target = FuzzTarget(rawValue: name) else {
        fail("no target '\(name)'; there are \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return target
}

var arguments = CommandLine.arguments
if arguments.count == 4, arguments[1] == "--seeds" {
    for (index, seed) in target(arguments[2]).seeds.enumerated() {
        guard let file = fopen("\(arguments[3])/seed-\(index)", "w") else { fail("cannot write to \(arguments[3])") }
        fwrite(seed, 1, seed.count, file)
        fclose(file)
    }
    exit(0)
}
guard arguments.count >= 2 else { fail("usage: fuzz TARGET [ARGUMENT]…") }
chosen = target(arguments.remove(at: 1))

var count = CInt(arguments.count)
let vector = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: arguments.count + 1)
for (index, argument) in arguments.enumerated() { vector[index] = strdup(argument) }
vector[arguments.count] = nil
var pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = vector
exit(
    runDriver(&count, &pointer) { bytes, count in
        chosen.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
        return 0
    })
