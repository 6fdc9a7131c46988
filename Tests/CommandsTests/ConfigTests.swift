import Foundation
import Testing

@Suite struct ConfigTests {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-\(UUID().uuidString).toml")

    func write(_ text: String) throws {
        try Data(text.utf8).write(to: file)
    }

    func golden(_ text: String) -> String {
        text.replacingOccurrences(of: "FILE", with: file.path)
    }

    @Test func checkPrintsEveryMistake() throws {
        try write("[dns]\nblocking_ttl = \"x\"\n\n[capture]\nlink = []\n")
        defer { try? FileManager.default.removeItem(at: file) }
        let check = try WebtunProcess.run("config", "check", file.path)
        #expect(check.status == 1)
        #expect(
            check.output
                == golden(
                    """
                    FILE:2: dns.blocking_ttl: must be an integer, 0 to 604800, not a string
                    FILE:5: capture.link: unknown key; is capture.links meant?

                    """))
        #expect(check.errors == "")
        let json = try WebtunProcess.run("config", "check", file.path, "--json")
        #expect(json.status == 1)
        #expect(
            json.output
                == golden(
                    """
                    {"place":"FILE:2","key":"dns.blocking_ttl","reason":"must be an integer, 0 to 604800, not a string"}
                    {"place":"FILE:5","key":"capture.link","reason":"unknown key; is capture.links meant?"}

                    """))
    }

    @Test func checkAcceptsTheShippedFile() throws {
        let shipped = WebtunProcess.executable.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("etc/webtun.toml").path
        let check = try WebtunProcess.run("config", "check", shipped)
        #expect(check.output == "\(shipped): fine\n")
        #expect(check.status == 0)
        #expect(
            try WebtunProcess.run("config", "check", "/nonexistent.toml").output
                == "/nonexistent.toml: No such file or directory\n")
    }

    @Test func showPrintsAFileThatCheckAccepts() throws {
        defer { try? FileManager.default.removeItem(at: file) }
        let show = try WebtunProcess.run("config", "show")
        #expect(show.status == 0)
        try write(show.output)
        #expect(try WebtunProcess.run("config", "check", file.path).status == 0)
        let again = try WebtunProcess.run("config", "show", "--config", file.path)
        #expect(again.output.contains(golden("blocking_ttl = 10                           # FILE:3")))
        for line in try WebtunProcess.run("config", "show", "--json").output.split(separator: "\n") {
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            #expect(object?["origin"] as? String == "default")
        }
    }
}
