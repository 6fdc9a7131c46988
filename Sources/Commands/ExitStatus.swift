public import ArgumentParser

/// The exit statuses of `webtun`. Wrong usage exits with 64 (`EX_USAGE` of `<sysexits.h>`) before a command runs.
public enum ExitStatus: Int32, Sendable {
    /// Fine; for `why`: the name is allowed or forwarded.
    case success = 0
    case error = 1
    /// `why`: the name is blocked.
    case blocked = 3
    /// `status`: a query sent now would not be filtered.
    case notFiltering = 4

    /// To end a command that has printed all it has to say: `throw ExitStatus.blocked.exit`.
    public var exit: ExitCode { ExitCode(rawValue) }
}

/// The end of a command with a sentence for the user: `webtun: <message>` on standard error.
///
/// Any other error a command throws ends it in the same way with its description and status 1.
public struct CommandFailure: Error, Sendable, CustomStringConvertible {
    /// Without `webtun:`, without a full stop.
    public let message: String
    public let status: ExitStatus

    public init(_ message: String, status: ExitStatus = .error) {
        self.message = message
        self.status = status
    }

    public var description: String { message }
}
