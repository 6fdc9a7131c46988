import Foundation

/// The lab's own DNS client (Tests/Integration/probe), built on first use.
enum Probe {
    /// How a query's socket is bound.
    enum Way: String, CaseIterable, Sendable {
        case plain, connected, source
        case unicastInterface = "unicast-if"
        case device
    }

    /// One answer, or why there is none.
    struct Reply: Sendable, CustomStringConvertible {
        /// The probe's line, cut into `key=value` words.
        let words: [String: String]
        let line: String

        init(line: String) {
            self.line = line
            var words: [String: String] = [:]
            var rest = Substring(line)
            // `text` is last and may hold spaces.
            if let range = line.range(of: " text=") {
                words["text"] = String(line[range.upperBound...])
                rest = line[..<range.lowerBound]
            }
            for word in rest.split(separator: " ") {
                guard let sign = word.firstIndex(of: "=") else { continue }
                words[String(word[..<sign])] = String(word[word.index(after: sign)...])
            }
            self.words = words
        }

        var description: String { line }
        var rcode: String { words["rcode"] ?? line }
        /// Addresses and names of the answer section.
        var answer: [String] {
            words["answer"].map { $0 == "-" ? [] : $0.split(separator: ",").map(String.init) } ?? []
        }
        var isTruncated: Bool { words["tc"] == "1" }
        var isTimeout: Bool { line.hasPrefix("timeout") }
        func integer(_ key: String) -> Int { words[key].flatMap { Int($0) } ?? -1 }
    }

    static func ask(
        _ host: Host, server: String, port: Int = 53, _ name: String, _ type: String = "A", tcp: Bool = false,
        timeout: Int = 2000, options: [String] = []
    ) async throws -> Reply {
        try await lines(
            host, server: server, port: port, name, type, tcp: tcp, timeout: timeout, options: options
        ).last ?? Reply(line: "nothing printed")
    }

    /// Every line the probe prints.
    static func lines(
        _ host: Host, server: String, port: Int = 53, _ name: String, _ type: String = "A", tcp: Bool = false,
        timeout: Int = 2000, options: [String] = []
    ) async throws -> [Reply] {
        let output = try await host.run(
            [try await program.value, "--server", server, "--port", "\(port)", "--timeout", "\(timeout)"]
                + (tcp ? ["--tcp"] : []) + options + [name, type])
        guard output.status != 2 else { throw LabError("probe: \(output.errors)") }
        return output.lines.map(Reply.init(line:))
    }

    /// Start a steady stream of queries which goes on while the test does other things.
    static func loop(
        _ host: Host, server: String, _ name: String, every: Int, milliseconds: Int, timeout: Int = 2000, log: String,
        options: [String] = []
    ) async throws -> Loop {
        let service = try await host.start(
            [
                try await program.value, "--server", server, "--every", "\(every)", "--for", "\(milliseconds)",
                "--timeout", "\(timeout)",
            ] + options + [name, "A"], log: "loop-\(log)")
        try await service.waitFor("start at=", within: 10)
        return Loop(service: service)
    }

    /// A stream of queries under way.
    struct Loop {
        let service: Running

        /// Times at which the answer changed.
        var changes: [Change] {
            service.output.split(separator: "\n").filter { $0.hasPrefix("change ") }.map { line in
                let reply = Reply(line: String(line))
                return Change(
                    at: reply.integer("at"), sent: reply.integer("sent"), reply: reply)
            }
        }

        /// The tally printed in the end; waits for it.
        func finish(within seconds: Double) async throws -> Reply {
            guard await service.waitForEnd(within: seconds) != nil,
                let line = service.output.split(separator: "\n").last(where: { $0.hasPrefix("done ") })
            else { throw LabError("the query loop did not end: \(service.output.suffix(500)) \(service.errors)") }
            return Reply(line: String(line))
        }
    }

    struct Change: CustomStringConvertible {
        /// When the answer came and when its query was sent, microseconds of CLOCK_MONOTONIC.
        let at: Int
        let sent: Int
        let reply: Reply
        var description: String { reply.line }
    }

    /// The built program; compiled once a process when its sources are newer.
    static let program = Task { try await build() }

    private static func build() async throws -> String {
        let sources = Paths.root + "/Tests/Integration/probe"
        let folder = Paths.root + "/.build/lab"
        let target = folder + "/probe"
        let files = try FileManager.default.contentsOfDirectory(atPath: sources).sorted()
        func date(_ path: String) -> Date {
            (try? FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date) ?? .distantPast
        }
        let built = date(target)
        if files.allSatisfy({ date("\(sources)/\($0)") < built }) { return target }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let partial = "\(target).\(getpid())"
        try await must(
            [
                Paths.root + "/scripts/clang", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
                "-o", partial,
            ]
                + files.filter { $0.hasSuffix(".c") }.map { "\(sources)/\($0)" })
        guard rename(partial, target) == 0 else { throw LabError("rename \(partial): \(errno)") }
        return target
    }
}

/// Places the tests need.
enum Paths {
    /// The package's folder.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    /// The program under test: built beside the test runner, or the one `WEBTUN_PROGRAM` names.
    static let webtun: String = {
        if let path = ProcessInfo.processInfo.environment["WEBTUN_PROGRAM"] { return path }
        let runner = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = URL(fileURLWithPath: runner).deletingLastPathComponent().appendingPathComponent("webtun").path
        return FileManager.default.fileExists(atPath: beside) ? beside : root + "/.build/debug/webtun"
    }()
}
