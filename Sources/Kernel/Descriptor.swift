public import Glibc

/// The owner of one file descriptor: it is closed when the value ends, and cannot be copied.
///
/// Any thread; a value belongs to one thread at a time.
public struct Descriptor: ~Copyable, Sendable {
    /// The number, to be used only while the owner lives.
    public let number: CInt

    /// Takes ownership of an open descriptor.
    @inlinable
    public init(owning number: CInt) {
        self.number = number
    }

    /// Takes ownership of the result of a call that opens a descriptor.
    ///
    /// - Throws: `KernelError` naming `action` when the result is negative (`-errno` or `-1` with `errno` set).
    public init(_ result: CInt, _ action: @autoclosure () -> String) throws(KernelError) {
        guard result >= 0 else {
            throw KernelError(action(), result == -1 ? .current() : Errno(-result))
        }
        number = result
    }

    deinit {
        _ = close(number)
    }

    /// Gives the number away; the caller closes it.
    public consuming func release() -> CInt {
        let number = number
        discard self
        return number
    }

    /// Reads up to `buffer.count` bytes. Returns the count, or `-errno`.
    @inlinable
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = unsafe Glibc.read(number, buffer.baseAddress, buffer.count)
        return count >= 0 ? count : -Int(errno)
    }

    /// Writes the bytes. Returns the count, or `-errno`.
    @inlinable
    public func write(_ buffer: UnsafeRawBufferPointer) -> Int {
        let count = unsafe Glibc.write(number, buffer.baseAddress, buffer.count)
        return count >= 0 ? count : -Int(errno)
    }
}
