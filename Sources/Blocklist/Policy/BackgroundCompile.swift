import Foundation
import Glibc
import Synchronization

/// Makes the index on a thread of its own that gives way to all others, so that rules are followed meanwhile.
final class BackgroundCompile: Sendable {
    private enum State {
        case idle
        case running
        /// The last one failed.
        case failed(any Error)
    }

    private let path: String
    private let state = Mutex(State.idle)

    /// - Parameter path: the state directory.
    init(state path: String) {
        self.path = path
    }

    /// Begins, unless it is at it already.
    ///
    /// - Throws: why the last one failed, once.
    func start() throws {
        let failure: (any Error)? = state.withLock { state in
            switch state {
            case .running: return nil
            case .failed(let error):
                state = .idle
                return error
            case .idle:
                state = .running
                Thread.detachNewThread { [self] in run() }
                return nil
            }
        }
        if let failure { throw failure }
    }

    private func run() {
        // On Linux niceness belongs to the thread (setpriority(2), "C library/kernel differences").
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 19)
        let result = Result { try BlocklistStore(state: path).compileUnlessBusy() }
        state.withLock { state in
            switch result {
            case .success: state = .idle
            case .failure(let error): state = .failed(error)
            }
        }
    }
}
