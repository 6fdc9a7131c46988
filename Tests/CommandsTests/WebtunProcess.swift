import Foundation

/// The built `webtun`, run as its own process.
struct WebtunProcess {
    let status: Int32
    let output: String
    let errors: String

    static let executable = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent(".build/debug/webtun")

    static func run(_ arguments: String..., environment: [String: String] = [:]) throws -> WebtunProcess {
        try run(arguments, environment: environment)
    }

    /// - Parameters:
    ///   - executable: a program that starts webtun, given `before` and webtun's path ahead of the arguments.
    static func run(
        _ arguments: [String], environment: [String: String] = [:], executable: String? = nil, before: [String] = []
    ) throws -> WebtunProcess {
        let process = Process()
        process.executableURL = executable.map { URL(fileURLWithPath: $0) } ?? WebtunProcess.executable
        process.arguments = executable == nil ? arguments : before + [WebtunProcess.executable.path] + arguments
        process.environment = ["PATH": "/usr/bin:/bin", "WEBTUN_STATE": "/nonexistent/webtun"].merging(environment) {
            $1
        }
        let output = Pipe()
        let errors = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let complaint = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return WebtunProcess(
            status: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
            errors: String(decoding: complaint, as: UTF8.self))
    }
}
