import QueryLog

/// What a log holds and, when asked for, what comes after that, until interrupted.
enum LogTail {
    /// Milliseconds between two looks at the log.
    private static let interval = 200

    /// - Parameters:
    ///   - newest: the highest id at the moment.
    ///   - show: prints rows, with an id to those above it alone; returns the highest id among them, 0 for none.
    static func read(
        _ path: String, follow: Bool, newest: (QueryLogReader) throws -> Int64,
        show: (QueryLogReader, _ after: Int64?) throws -> Int64
    ) async throws {
        var reader = try QueryLogReader(path: path)
        // Rows that come while the first ones are printed have higher ids.
        var last = try newest(reader)
        last = max(last, try show(reader, nil))
        guard follow else { return }
        while true {
            try await Task.sleep(for: .milliseconds(interval))
            if reader.hasMoved, let other = try? QueryLogReader(path: path) {
                reader = other
                last = 0
            }
            let found = try newest(reader)
            guard found > last else { continue }
            last = max(last, found, try show(reader, last))
        }
    }
}
