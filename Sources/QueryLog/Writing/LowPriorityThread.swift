internal import Glibc
internal import Kernel

/// A thread of its own that gives way to all others.
@safe
final class LowPriorityThread: Sendable {
    private let thread: pthread_t

    private final class Body: Sendable {
        let name: String
        let niceness: Int32
        let run: @Sendable () -> Void

        init(_ name: String, _ niceness: Int32, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.niceness = niceness
            self.run = run
        }
    }

    /// Starts `body` in a thread.
    ///
    /// - Parameters:
    ///   - name: at most 15 bytes, as `top -H` shows it.
    ///   - niceness: -20…19; on Linux it belongs to the thread (setpriority(2), "C library/kernel differences").
    init(_ name: String, niceness: Int32, _ body: @escaping @Sendable () -> Void) throws(QueryLogError) {
        let argument = unsafe Unmanaged.passRetained(Body(name, niceness, body))
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                CurrentThread.setName(body.name)
                CurrentThread.giveWay(niceness: body.niceness)
                body.run()
                return nil
            }, argument.toOpaque())
        guard result == 0 else {
            unsafe argument.release()
            throw .sqlite(action: "start the log's thread", code: 0, message: unsafe String(cString: strerror(result)))
        }
        self.thread = thread
    }

    /// Waits for the thread's end. Once, from another thread.
    func join() {
        pthread_join(thread, nil)
    }
}
