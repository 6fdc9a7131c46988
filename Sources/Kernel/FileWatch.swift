import Glibc

/// Tells that files were written or put in their place: inotify(7).
///
/// One thread. Wait for `number` to be readable, then `drain`.
public struct FileWatch: ~Copyable {
    /// What was heard.
    public struct Events: OptionSet, Sendable {
        public let rawValue: UInt32

        public init(rawValue: UInt32) {
            self.rawValue = rawValue
        }

        /// A file was written to.
        public static let written = Events(rawValue: UInt32(IN_MODIFY))
        /// Somebody who could write closed it.
        public static let closed = Events(rawValue: UInt32(IN_CLOSE_WRITE))
        /// In a directory a file was made.
        public static let made = Events(rawValue: UInt32(IN_CREATE))
        /// Into a directory a file was renamed.
        public static let renamed = Events(rawValue: UInt32(IN_MOVED_TO))
        /// Events were lost, as nobody drained them.
        public static let lost = Events(rawValue: UInt32(IN_Q_OVERFLOW))
    }

    private let descriptor: Descriptor

    /// - Throws: `KernelError`, for instance when the user has too many (`fs.inotify.max_user_instances`).
    public init() throws(KernelError) {
        descriptor = try Descriptor(inotify_init1(CInt(IN_NONBLOCK) | CInt(IN_CLOEXEC)), "inotify_init1")
    }

    /// For `Poller.add` or poll(2).
    public var number: CInt { descriptor.number }

    /// Watches a file or a directory; once more is none more. `false` when it is not there, or cannot be watched.
    @discardableResult
    public func add(_ path: String, _ events: Events) -> Bool {
        unsafe inotify_add_watch(number, path, events.rawValue) >= 0
    }

    /// Everything that was heard since the last time, without waiting.
    public mutating func drain() -> Events {
        var events: Events = []
        var room = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe room.withUnsafeMutableBytes { unsafe descriptor.read(into: $0) }
            guard count > 0 else { return events }
            var at = 0
            // struct inotify_event: wd i32, mask u32, cookie u32, len u32, then so many bytes of a name.
            while at + 16 <= count {
                func word(_ offset: Int) -> UInt32 {
                    (0..<4).reduce(0) { $0 | UInt32(room[at + offset + $1]) << UInt32(8 * $1) }
                }
                events.formUnion(Events(rawValue: word(4)))
                at += 16 + Int(word(12))
            }
        }
    }
}
