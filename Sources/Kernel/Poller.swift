public import CKernel
import Glibc

/// Level-triggered readiness of many descriptors: `epoll(7)` with a fixed event buffer.
///
/// One thread. Waiting and reading the events allocates nothing.
@safe
public struct Poller: ~Copyable {
    /// What a descriptor is watched for, and what happened to it.
    public struct Interest: OptionSet, Sendable {
        public let rawValue: UInt32

        @inlinable
        public init(rawValue: UInt32) {
            self.rawValue = rawValue
        }

        public static let read = Interest(rawValue: UInt32(EPOLLIN.rawValue))
        public static let write = Interest(rawValue: UInt32(EPOLLOUT.rawValue))
        /// Reported without being asked for: an error or a hang-up.
        public static let failure = Interest(rawValue: UInt32(EPOLLERR.rawValue | EPOLLHUP.rawValue))
    }

    /// One ready descriptor: the tag it was added with, and what it is ready for.
    public struct Event: Sendable {
        public let tag: UInt64
        public let ready: Interest

        @inlinable
        init(tag: UInt64, ready: Interest) {
            self.tag = tag
            self.ready = ready
        }
    }

    /// At most this many events a wait.
    public static let capacity = 64

    @usableFromInline let descriptor: Descriptor
    @usableFromInline let events: UnsafeMutablePointer<epoll_event>

    /// - Throws: `KernelError` when the kernel gives no epoll instance.
    public init() throws(KernelError) {
        descriptor = try Descriptor(epoll_create1(CInt(EPOLL_CLOEXEC)), "epoll_create1")
        unsafe events = .allocate(capacity: Poller.capacity)
    }

    deinit {
        unsafe events.deallocate()
    }

    /// Watches a descriptor. The tag comes back with each of its events.
    public func add(_ number: CInt, tag: UInt64, _ interest: Interest) throws(KernelError) {
        try control(EPOLL_CTL_ADD, number, tag, interest)
    }

    /// Changes what a watched descriptor is watched for.
    public func modify(_ number: CInt, tag: UInt64, _ interest: Interest) throws(KernelError) {
        try control(EPOLL_CTL_MOD, number, tag, interest)
    }

    /// Stops watching; a closed descriptor is forgotten by the kernel on its own.
    public func remove(_ number: CInt) {
        _ = epoll_ctl(descriptor.number, EPOLL_CTL_DEL, number, nil)
    }

    private func control(_ operation: CInt, _ number: CInt, _ tag: UInt64, _ interest: Interest) throws(KernelError) {
        var event = unsafe epoll_event()
        unsafe event.events = interest.rawValue
        unsafe event.data.u64 = tag
        if unsafe epoll_ctl(descriptor.number, operation, number, &event) < 0 {
            throw KernelError("epoll_ctl of descriptor \(number)")
        }
    }

    /// Waits at most `milliseconds` (-1: without end, 0: not at all). Returns the number of events, 0 when a signal
    /// interrupted the wait.
    @inlinable
    public borrowing func wait(milliseconds: CInt) -> Int {
        let count = unsafe epoll_wait(descriptor.number, events, CInt(Poller.capacity), milliseconds)
        return count > 0 ? Int(count) : 0
    }

    /// The event at `index`, below the count of the last wait.
    @inlinable
    public borrowing func event(_ index: Int) -> Event {
        precondition(index >= 0 && index < Poller.capacity)
        let event = unsafe events[index]
        return unsafe Event(tag: event.data.u64, ready: Interest(rawValue: event.events))
    }
}
