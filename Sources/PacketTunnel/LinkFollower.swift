import Foundation
import Kernel
import Synchronization

/// A thread that calls back after every change of links and addresses (rtnetlink events), so that a new link is captured
/// within a millisecond or so. It works in the network namespace of the thread that makes it.
final class LinkFollower: Sendable {
    private let wakeup: Wakeup
    private let done = Mutex<(finished: Bool, waiter: CheckedContinuation<Void, Never>?)>((false, nil))

    /// Starts following; no event after this call is missed. `changed` runs on the follower's thread.
    init(groups: UInt32, changed: @escaping @Sendable () -> Void) throws(KernelError) {
        let wakeup = try Wakeup()
        self.wakeup = wakeup
        let events = try NetlinkSocket(groups: groups)
        let poller = try Poller()
        try poller.add(events.number, tag: 0, .read)
        try poller.add(wakeup.number, tag: 1, .read)
        let job = Job(events: events, poller: poller)
        let thread = Thread { [self] in
            job.run(changed)
            finish()
        }
        thread.name = "webtun-links"
        thread.start()
    }

    /// Ends the thread, soon.
    private func signal() { wakeup.signal() }

    /// Ends the thread and waits for it.
    func stop() {
        wakeup.signal()
        while !done.withLock({ $0.finished }) { usleep(200) }
    }

    /// Returns when the thread has ended; a cancelled task ends it.
    func untilCancelled() async throws {
        await withTaskCancellationHandler {
            await finished()
        } onCancel: {
            signal()
        }
        try Task.checkCancellation()
    }

    /// Returns when the thread has ended.
    private func finished() async {
        await withCheckedContinuation { continuation in
            let over = done.withLock { done in
                if !done.finished { done.waiter = continuation }
                return done.finished
            }
            if over { continuation.resume() }
        }
    }

    private func finish() {
        let waiter = done.withLock { done in
            done.finished = true
            defer { done.waiter = nil }
            return done.waiter
        }
        waiter?.resume()
    }

    /// What the thread owns: made on one thread, used by the other only.
    private final class Job: @unchecked Sendable {
        private var events: NetlinkSocket
        private let poller: Poller

        init(events: consuming NetlinkSocket, poller: consuming Poller) {
            self.events = events
            self.poller = poller
        }

        func run(_ changed: () -> Void) {
            while true {
                for index in 0..<poller.wait(milliseconds: -1) where poller.event(index).tag == 1 {
                    return
                }
                if events.drain() { changed() }
            }
        }
    }
}
