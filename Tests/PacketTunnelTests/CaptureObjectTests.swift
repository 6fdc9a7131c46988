import Foundation
import Testing

@Suite("The BPF object")
struct CaptureObjectTests {
    @Test("is what its source gives")
    func generated() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        try Lab.run("\(root)/scripts/bpf-header --check")
    }
}
