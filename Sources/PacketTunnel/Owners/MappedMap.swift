import CBPF
import Glibc
import Kernel

/// A BPF map of the kernel made with `BPF_F_MMAPABLE`, read without system calls. It outlives its descriptor. Any thread.
@safe
final class MappedMap: Sendable {
    nonisolated(unsafe) let base: UnsafeRawPointer
    private let byteCount: Int

    /// - Parameters:
    ///   - map: the map's descriptor; stays the caller's.
    ///   - byteCount: entries times their size.
    init(_ map: CInt, byteCount: Int, _ name: String) throws(KernelError) {
        guard let base = unsafe mmap(nil, byteCount, PROT_READ, MAP_SHARED, map, 0), unsafe base != MAP_FAILED else {
            throw KernelError("map the table \(name)")
        }
        unsafe self.base = UnsafeRawPointer(base)
        self.byteCount = byteCount
    }

    deinit {
        unsafe munmap(UnsafeMutableRawPointer(mutating: base), byteCount)
    }
}
