/// Who sent a packet: the user and the process behind a socket of this machine, as integers, so that a packet's thread can
/// copy, compare and match it without allocating. Any thread.
public struct Owner: Hashable, Sendable {
    /// The real user ID of the process, in the first user namespace; -1 when not known.
    public var uid: Int32
    /// The process (the thread group, never a single thread), in the first PID namespace; -1 when not known.
    public var pid: Int32
    /// `Owner.hash` of the path of the program, as `/proc/PID/exe` has it; 0 when not known.
    public var path: UInt64
    /// `Owner.hash` of what follows the last `/` of that path; 0 when not known.
    public var name: UInt64
    public var certainty: Certainty

    /// How the owner was found.
    public enum Certainty: UInt8, Sendable {
        /// Not at all: the packet was forwarded for another machine, or whoever sent it could not be found.
        case none
        /// Looked up afterwards: the process had the socket open then.
        case probable
        /// The kernel noted it in the process's own call on the socket (socket, connect, sendto).
        case exact
    }

    @inlinable
    public init(
        uid: Int32 = -1, pid: Int32 = -1, path: UInt64 = 0, name: UInt64 = 0, certainty: Certainty = .none
    ) {
        self.uid = uid
        self.pid = pid
        self.path = path
        self.name = name
        self.certainty = certainty
    }

    /// Nobody that is known.
    @inlinable public static var unknown: Owner { Owner() }

    /// The hash of a path or of the name of a program: SipHash under a key of this process, so that nobody can choose a
    /// path with a given hash. It is never written down: it differs in every process. Never 0. Allocates nothing.
    ///
    /// - Parameter text: UTF-8 bytes, as the kernel has them.
    public static func hash(_ text: RawSpan) -> UInt64 {
        var hasher = Hasher()
        unsafe text.withUnsafeBytes { bytes in unsafe hasher.combine(bytes: bytes) }
        let value = UInt64(bitPattern: Int64(hasher.finalize()))
        return value == 0 ? 1 : value
    }

    /// The hash of a path or of the name of a program, for rules.
    public static func hash(of text: String) -> UInt64 {
        unsafe hash(Array(text.utf8).span.bytes)
    }
}
