import CKernel
import Glibc

/// A way to wake a thread that waits in a `Poller`: `eventfd(2)`.
///
/// `signal` from any thread; `clear` from the waiting one.
public final class Wakeup: Sendable {
    private let descriptor: Descriptor

    public init() throws(KernelError) {
        descriptor = try Descriptor(eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK)), "eventfd")
    }

    /// For `Poller.add`.
    public var number: CInt { descriptor.number }

    public func signal() {
        _ = eventfd_write(descriptor.number, 1)
    }

    public func clear() {
        var value: eventfd_t = 0
        _ = unsafe eventfd_read(descriptor.number, &value)
    }
}
