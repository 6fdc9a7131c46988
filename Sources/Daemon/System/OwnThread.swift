import Foundation

/// Work that blocks runs on a thread of its own, never on those that Swift's tasks share.
enum OwnThread {
    /// Runs `body` on a new thread and returns when it has ended.
    ///
    /// - Parameter name: at most 15 bytes are seen in `ps` and `top` (pthread_setname_np(3)).
    static func run(_ name: String, _ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            let thread = Thread {
                body()
                continuation.resume()
            }
            thread.name = name
            thread.start()
        }
    }
}
