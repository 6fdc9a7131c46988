import Foundation

/// The program under test, with a state directory of its own.
struct Webtun {
    let host: Host
    let state: String
    /// Which upstreams it is given; empty: it finds its own.
    var upstreams = [Internet.upstreamV4]
    /// Text of its configuration file, without which the one of its own is used.
    var configuration = ""

    /// A webtun on `host` with rules that block `blocked.example` and allow `allowed.example`.
    static func prepare(on host: Host, name: String = "webtun") async throws -> Webtun {
        let webtun = Webtun(host: host, state: host.lab.path("state-\(host.name)-\(name)"))
        try await webtun.must(["deny", "--suffix", "blocked.example"])
        try await webtun.must(["allow", "--suffix", "allowed.example"])
        return webtun
    }

    /// Run a command of webtun to its end.
    func callAsFunction(_ arguments: [String], input: String = "", seconds: Double = 30) async throws -> Output {
        try await host.run(
            [Paths.webtun] + arguments, input: input, environment: ["WEBTUN_STATE": state, "NO_COLOR": "1"],
            seconds: seconds)
    }

    @discardableResult
    func must(_ arguments: [String], input: String = "", seconds: Double = 30) async throws -> Output {
        let output = try await self(arguments, input: input, seconds: seconds)
        guard output.isFine else {
            throw LabError("webtun \(arguments.joined(separator: " ")): status \(output.status)\n\(output.errors)")
        }
        return output
    }

    /// The arguments of `webtun run` for the lab's machine.
    func arguments(capture: String, links: [String] = ["eth0"], serve: [String] = [], extra: [String] = []) throws
        -> [String]
    {
        var arguments = [Paths.webtun, "run", "--state", state, "--capture", capture]
        for link in links { arguments += ["--link", link] }
        for link in serve { arguments += ["--serve", link] }
        for upstream in upstreams { arguments += ["--upstream", upstream] }
        if !configuration.isEmpty {
            arguments += ["--config", try host.lab.write(configuration, to: "webtun-\(host.name).toml")]
        }
        return arguments + extra
    }

    /// Start the daemon, without waiting until it filters.
    func launch(
        capture: String = "link", links: [String] = ["eth0"], serve: [String] = [], extra: [String] = [],
        log: String = "webtun", environment: [String: String] = [:]
    ) async throws -> Running {
        try await host.start(
            try arguments(capture: capture, links: links, serve: serve, extra: extra), log: log,
            environment: environment.merging(["NO_COLOR": "1"]) { first, _ in first })
    }

    /// Start the daemon and wait for its readiness line.
    func start(
        capture: String = "link", links: [String] = ["eth0"], serve: [String] = [], extra: [String] = [],
        log: String = "webtun"
    ) async throws -> Running {
        let daemon = try await launch(capture: capture, links: links, serve: serve, extra: extra, log: log)
        try await daemon.waitFor("webtun: filtering", within: 20)
        return daemon
    }

    /// `status --json`, whole.
    func status() async throws -> [String: any Sendable] {
        let output = try await self(["status", "--json"])
        return try Webtun.object(output.text)
    }

    /// Rows of `webtun sql --json`: one object a line.
    func sql(_ query: String) async throws -> [[String: any Sendable]] {
        try await must(["sql", "--json", query]).lines.map(Webtun.object)
    }

    static func object(_ text: String) throws -> [String: any Sendable] {
        guard let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: any Sendable] else {
            throw LabError("not a JSON object: \(text)")
        }
        return object
    }
}
