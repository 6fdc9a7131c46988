import Glibc

/// A copy of bytes in anonymous memory for which the kernel is asked to use huge pages. Immutable; any thread.
///
/// A look-up in a large index touches a few random pages, and the processor knows the places of only so many: with pages of
/// 4 KiB it has to walk the page tables for each of them, with pages of 2 MiB for none. The kernel does not give huge pages
/// for files on every file system.
@safe
final class HugeCopy: Sendable {
    /// Bytes of a huge page, and of a copy worth it.
    static let page = 1 << 21

    // Never written once it is filled.
    private nonisolated(unsafe) let mapping: UnsafeMutableRawPointer
    private let size: Int
    /// The first byte of the copy, aligned to a huge page.
    nonisolated(unsafe) let base: UnsafeRawPointer

    /// nil when there is no memory for it; then the original has to do.
    init?(_ bytes: UnsafeRawBufferPointer) {
        // Room to begin at a huge page, and to fill the last one.
        size = bytes.count + 2 * HugeCopy.page
        let mapping = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapping = unsafe mapping, unsafe mapping != MAP_FAILED else { return nil }
        unsafe self.mapping = unsafe mapping
        let start = unsafe mapping.alignedUp(toMultipleOf: HugeCopy.page)
        let length = (bytes.count + HugeCopy.page - 1) & ~(HugeCopy.page - 1)
        // Where the kernel gives none, small pages do.
        _ = unsafe madvise(start, length, MADV_HUGEPAGE)
        unsafe start.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        unsafe base = UnsafeRawPointer(start)
    }

    deinit {
        unsafe munmap(mapping, size)
    }
}
