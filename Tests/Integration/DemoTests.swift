import Foundation
import Testing

/// The tour of `make demo` runs to its end and leaves nothing.
@Suite struct DemoTests {
    @Test func theDemoShowsWhatItPromisesAndRemovesEverything() async throws {
        let before = try await must(["ip", "netns", "list"]).text
        let output = try await run(
            [Paths.root + "/scripts/demo"], environment: ["WEBTUN": Paths.webtun, "NO_COLOR": "1"], seconds: 90)
        #expect(output.isFine, "\(output.text)\(output.errors)")
        #expect(output.text.contains("Done"))
        let left = try await must(["ip", "netns", "list"]).text
        #expect(!left.split(separator: "\n").contains { $0.hasPrefix("demo") && !before.contains($0) }, "\(left)")
        let folders = try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter {
            $0.hasPrefix("webtun-demo.")
        }
        #expect(folders.isEmpty, "\(folders)")
        let mounts = try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
        for mount in mounts.split(separator: "\n").map({ $0.split(separator: " ") }) where mount[2] == "cgroup2" {
            let cgroups = try FileManager.default.contentsOfDirectory(atPath: String(mount[1]))
            #expect(!cgroups.contains { $0.hasPrefix("demo") }, "\(cgroups)")
        }
    }
}
