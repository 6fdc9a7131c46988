import ArgumentParser
import QueryLog

/// How much of the log is shown, and whether it goes on.
struct TailOptions: ParsableArguments {
    @Flag(name: [.customShort("f"), .customLong("follow")], help: "Go on with what is new until interrupted.")
    var follow = false
    @Option(name: .customLong("limit"), help: ArgumentHelp("The last so many; 0: all.", valueName: "number"))
    var limit: Int?

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit takes 0 or a positive number") }
    }
}

/// A filter that a tail of the log is read with.
protocol TailFilter {
    var since: Int64? { get }
    var after: Int64? { get set }
    var limit: Int? { get set }
}

extension LogFilter: TailFilter {}
extension FlowFilter: TailFilter {}

/// What a log holds and, when asked for, what comes after that, until interrupted.
enum LogTail {
    /// Milliseconds between two looks at the log.
    private static let interval = 200

    /// - Parameters:
    ///   - newest: the highest id at the moment.
    ///   - show: prints the rows that pass; returns the highest id among them, 0 for none.
    static func read<Filter: TailFilter>(
        _ path: String, _ filter: Filter, _ options: TailOptions, newest: (QueryLogReader) throws -> Int64,
        show: (QueryLogReader, Filter) throws -> Int64
    ) async throws {
        var filter = filter
        // A time says how much is wanted.
        filter.limit = options.limit ?? (filter.since == nil ? (options.follow ? 10 : 50) : nil)
        if filter.limit == 0 { filter.limit = nil }
        var reader = try QueryLogReader(path: path)
        // Rows that come while the first ones are printed have higher ids.
        var last = try newest(reader)
        last = max(last, try show(reader, filter))
        guard options.follow else { return }
        filter.limit = nil
        while true {
            try await Task.sleep(for: .milliseconds(interval))
            if reader.hasMoved, let other = try? QueryLogReader(path: path) {
                reader = other
                last = 0
            }
            let found = try newest(reader)
            guard found > last else { continue }
            filter.after = last
            last = max(last, found, try show(reader, filter))
        }
    }
}
