import Foundation
import Glibc
import Kernel
import Synchronization

/// Makes the index on a thread of its own that gives way to all others, so that rules are followed meanwhile. After a failure
/// it waits, each time longer: on a full disk the next one would fail too.
final class BackgroundCompile: Sendable {
    private struct State {
        var isRunning = false
        /// Why the last one failed.
        var failure: (any Error)?
        var failures = 0
        /// `CLOCK_MONOTONIC` nanoseconds before which none begins.
        var resting: UInt64 = 0
    }

    private let path: String
    private let state = Mutex(State())
    /// The longest rest, seconds.
    private static let patience: UInt64 = 32

    /// - Parameter path: the state directory.
    init(state path: String) {
        self.path = path
    }

    /// Why there is no index yet; nil when the last one was made, or none was tried.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// How often it failed since one was made.
    var failures: Int { state.withLock { $0.failures } }

    /// Begins, unless it is at it already, or failed a moment ago.
    func start(now: UInt64 = Clock.monotonic()) {
        state.withLock { state in
            guard !state.isRunning, now >= state.resting else { return }
            state.isRunning = true
            Thread.detachNewThread { [self] in run() }
        }
    }

    /// Somebody else has made it.
    func forget() {
        state.withLock { state in
            guard !state.isRunning else { return }
            state = State()
        }
    }

    private func run() {
        // On Linux niceness belongs to the thread (setpriority(2), "C library/kernel differences").
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 19)
        let result = Result { try BlocklistStore(state: path).compileUnlessBusy() }
        state.withLock { state in
            state.isRunning = false
            switch result {
            case .success:
                state.failure = nil
                state.failures = 0
            case .failure(let error):
                state.failure = error
                state.resting = Clock.monotonic() + min(BackgroundCompile.patience, 1 << state.failures) * 1_000_000_000
                state.failures = min(state.failures + 1, 16)
            }
        }
    }
}
