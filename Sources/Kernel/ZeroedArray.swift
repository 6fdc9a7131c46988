internal import Glibc

/// A fixed number of plain values, all bytes zero at first. The kernel gives the memory page by page as it is touched, so
/// a large one that is hardly used costs hardly anything.
///
/// One thread. Nothing allocates after `init`; an index outside traps.
@safe
public struct ZeroedArray<Element>: ~Copyable, @unchecked Sendable {
    @usableFromInline let base: UnsafeMutablePointer<Element>
    public let count: Int

    /// - Parameter count: at least 1. `Element` is a type without references for which zero bytes are a value.
    public init(of type: Element.Type, count: Int) {
        precondition(_isPOD(Element.self) && count > 0)
        // Large blocks of the allocator come from mmap, whose pages are zero and not yet there.
        guard let memory = unsafe calloc(count, MemoryLayout<Element>.stride) else {
            fatalError("no memory for \(count) elements of \(MemoryLayout<Element>.stride) bytes")
        }
        unsafe base = memory.bindMemory(to: Element.self, capacity: count)
        self.count = count
    }

    deinit {
        unsafe free(base)
    }

    @inlinable
    public subscript(index: Int) -> Element {
        @inline(__always) unsafeAddress {
            precondition(index >= 0 && index < count)
            return unsafe UnsafePointer(base + index)
        }
        @inline(__always) unsafeMutableAddress {
            precondition(index >= 0 && index < count)
            return unsafe base + index
        }
    }
}
