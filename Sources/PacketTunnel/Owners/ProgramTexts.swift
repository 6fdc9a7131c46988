import Kernel
import Synchronization

/// The paths behind the hashes of owners: those seen lately, a bounded number. Any thread; not for the packets'.
final class ProgramTexts: Sendable {
    private static let capacity = 4096
    private let texts = Mutex<[UInt64: String]>([:])

    /// Remembers a path and returns its hash.
    func note(_ path: String) -> UInt64 {
        let hash = Owner.hash(of: path)
        texts.withLock { texts in
            if texts.count >= ProgramTexts.capacity { texts.removeAll(keepingCapacity: true) }
            texts[hash] = path
        }
        return hash
    }

    func text(_ hash: UInt64) -> String? { texts.withLock { $0[hash] } }
}
