import Foundation
import Glibc
import Kernel

/// Work that blocks runs on a thread of its own, never on those that Swift's tasks share.
enum OwnThread {
    /// Runs `body` on a new thread and returns when it has ended.
    ///
    /// - Parameter name: at most 15 bytes, seen in `ps` and `top` (proc(5), `comm`).
    static func run(_ name: String, _ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            start(name) {
                body()
                continuation.resume()
            }
        }
    }

    /// Runs `body` on a new thread and returns or throws what it does.
    static func value<Value: Sendable>(
        _ name: String, _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            start(name) { continuation.resume(with: Result(catching: body)) }
        }
    }

    private static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        Thread.detachNewThread {
            CurrentThread.setName(name)
            body()
        }
    }

    /// Runs `body` on a new thread until it returns, which it does when `Pace.wait` tells it that the task is cancelled.
    static func repeating(_ name: String, _ body: @escaping @Sendable (Pace) -> Void) async throws(KernelError) {
        let pace = Pace(wakeup: try Wakeup())
        await withTaskCancellationHandler {
            await run(name) { body(pace) }
        } onCancel: {
            pace.wakeup.signal()
        }
    }

    /// The pauses of work that repeats.
    struct Pace: Sendable {
        fileprivate let wakeup: Wakeup

        /// Waits so long, or until there is something to hear. False, at once, when the work is to end.
        ///
        /// - Parameter number: of a descriptor that becomes readable; it must not be closed meanwhile.
        func wait(milliseconds: CInt, hearing number: CInt? = nil) -> Bool {
            // poll(2) passes over an entry with a negative descriptor.
            var entries: InlineArray<2, pollfd> = [
                pollfd(fd: wakeup.number, events: Int16(POLLIN), revents: 0),
                pollfd(fd: number ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            var span = entries.mutableSpan
            let count = unsafe span.withUnsafeMutableBufferPointer { unsafe poll($0.baseAddress!, 2, milliseconds) }
            return count <= 0 || entries[0].revents == 0
        }
    }
}
