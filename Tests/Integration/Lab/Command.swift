import Foundation
import Subprocess
import Synchronization

/// What a finished program left.
struct Output: Sendable {
    /// Exit status; a signal's number plus 128 when a signal ended it.
    let status: Int32
    let text: String
    let errors: String

    var lines: [String] { text.split(separator: "\n").map(String.init) }
    var isFine: Bool { status == 0 }
}

/// A program did not do what the lab needs of it.
struct LabError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Run a program to its end and collect what it prints; it may last at most `seconds`.
func run(_ arguments: [String], input: String = "", environment: [String: String] = [:], seconds: Double = 60)
    async throws -> Output
{
    var variables: [Environment.Key: String?] = [:]
    for (name, value) in environment { variables[Environment.Key(stringLiteral: name)] = value }
    // `timeout` bounds the program even when the task that waits for it is stuck.
    let result = try await Subprocess.run(
        .name("timeout"), arguments: .init(["-k", "2", "\(seconds)"] + arguments),
        environment: .inherit.updating(variables), input: .string(input), output: .string(limit: 64 << 20),
        error: .string(limit: 4 << 20))
    return Output(
        status: number(result.terminationStatus), text: result.standardOutput, errors: result.standardError)
}

/// Run a program that has to succeed.
@discardableResult
func must(_ arguments: [String], input: String = "", seconds: Double = 60) async throws -> Output {
    let output = try await run(arguments, input: input, seconds: seconds)
    guard output.isFine else {
        throw LabError(
            "`\(arguments.joined(separator: " "))` ended with \(output.status): \(output.errors)\(output.text)")
    }
    return output
}

func number(_ status: TerminationStatus) -> Int32 {
    switch status {
    case .exited(let code): code
    case .signaled(let signal): 128 + signal
    }
}

/// Microseconds of CLOCK_MONOTONIC: the clock of the probe's lines.
func monotonicMicroseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// Ask `condition` again and again until it holds; false when `seconds` have passed.
func eventually(within seconds: Double, every milliseconds: Int = 10, _ condition: () async throws -> Bool)
    async rethrows
    -> Bool
{
    let end = monotonicMicroseconds() + Int(seconds * 1_000_000)
    while true {
        if try await condition() { return true }
        if monotonicMicroseconds() >= end { return false }
        try? await Task.sleep(for: .milliseconds(milliseconds))
    }
}

/// A program that runs until it is told to stop; its output goes to two files.
final class Running: Sendable {
    let name: String
    let pid: pid_t
    let outputPath: String
    let errorPath: String
    private let ended: Ended

    private final class Ended: Sendable {
        let status = Mutex<Int32?>(nil)
        let pid = Mutex<pid_t?>(nil)
        let failure = Mutex<String?>(nil)
    }

    /// Start a program; returns when it has a process id. `log` is the path of its output, less `.out` and `.err`.
    static func start(_ arguments: [String], log: String, environment: [String: String] = [:]) async throws -> Running {
        let ended = Ended()
        var variables: [Environment.Key: String?] = [:]
        for (name, value) in environment { variables[Environment.Key(stringLiteral: name)] = value }
        let environment = Environment.inherit.updating(variables)
        Task.detached {
            do {
                let result = try await Subprocess.run(
                    .name("sh"), arguments: .init(["-c", #"exec "$@" >"$0.out" 2>"$0.err""#, log] + arguments),
                    environment: environment, input: .none, output: .discarded, error: .discarded
                ) { execution in
                    ended.pid.withLock { $0 = execution.processIdentifier.value }
                }
                ended.status.withLock { $0 = number(result.terminationStatus) }
            } catch {
                ended.failure.withLock { $0 = "\(error)" }
            }
        }
        guard
            await eventually(
                within: 10, every: 1,
                { ended.pid.withLock { $0 != nil } || ended.failure.withLock { $0 != nil } }),
            let pid = ended.pid.withLock({ $0 })
        else {
            throw LabError("cannot start \(arguments): \(ended.failure.withLock { $0 } ?? "no process after 10 s")")
        }
        return Running(name: arguments.joined(separator: " "), pid: pid, log: log, ended: ended)
    }

    private init(name: String, pid: pid_t, log: String, ended: Ended) {
        self.name = name
        self.pid = pid
        self.outputPath = log + ".out"
        self.errorPath = log + ".err"
        self.ended = ended
    }

    /// Exit status once it has ended, else nil.
    var status: Int32? { ended.status.withLock { $0 } }
    var output: String { (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? "" }
    var errors: String { (try? String(contentsOfFile: errorPath, encoding: .utf8)) ?? "" }

    func signal(_ signal: Int32) {
        if status == nil { kill(pid, signal) }
    }

    /// Wait for its end; nil when it still runs after `seconds`.
    func waitForEnd(within seconds: Double) async -> Int32? {
        _ = await eventually(within: seconds, every: 2) { status != nil }
        return status
    }

    /// End it, with SIGKILL when SIGTERM does not help.
    func stop() async {
        signal(SIGTERM)
        if await waitForEnd(within: 3) == nil {
            signal(SIGKILL)
            _ = await waitForEnd(within: 3)
        }
    }

    /// Wait until its output or its errors hold `text`.
    func waitFor(_ text: String, within seconds: Double) async throws {
        let found = await eventually(within: seconds, every: 5) {
            output.contains(text) || errors.contains(text) || status != nil
        }
        guard found, output.contains(text) || errors.contains(text) else {
            throw LabError(
                "no \"\(text)\" within \(seconds) s from \(name) (status \(status.map(String.init) ?? "running")):\n"
                    + "\(output.suffix(2000))\n\(errors.suffix(2000))")
        }
    }
}
