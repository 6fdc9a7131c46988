import Kernel
import Wire

/// The names of flows: a fixed number of small pieces, chained; a name takes as many as it needs.
///
/// One thread. Nothing allocates after `init`.
struct NamePool: ~Copyable {
    static let pieceBytes = 28

    struct Piece {
        var bytes: InlineArray<28, UInt8>
        /// The next piece of the name, or of the free ones; 0: none.
        var next: UInt32
    }

    /// Piece 0 is never used, so that 0 says "no name".
    private var pieces: ZeroedArray<Piece>
    /// The first of the pieces that were given back.
    private var free: UInt32 = 0
    /// Pieces from here on were never used.
    private var fresh: UInt32 = 1
    private(set) var used = 0

    /// - Parameter capacity: pieces of 28 bytes.
    init(capacity: Int) {
        pieces = ZeroedArray(of: Piece.self, count: capacity + 1)
    }

    /// Keeps a name of at most 255 bytes. Returns where it is, or 0 when there is no room (or no name).
    mutating func store(_ name: RawSpan) -> UInt32 {
        let needed = (name.byteCount + NamePool.pieceBytes - 1) / NamePool.pieceBytes
        guard used + needed < pieces.count else { return 0 }
        var head: UInt32 = 0
        var index = needed
        while index > 0 {
            index -= 1
            let piece = take()
            let at = index * NamePool.pieceBytes
            let count = min(NamePool.pieceBytes, name.byteCount - at)
            var byte = 0
            while byte < count {
                pieces[Int(piece)].bytes[byte] = name.u8(at + byte)
                byte += 1
            }
            pieces[Int(piece)].next = head
            head = piece
        }
        return head
    }

    private mutating func take() -> UInt32 {
        used += 1
        if free != 0 {
            let piece = free
            free = pieces[Int(piece)].next
            return piece
        }
        fresh += 1
        return fresh - 1
    }

    /// Gives a name back.
    mutating func remove(_ head: UInt32) {
        var piece = head
        while piece != 0 {
            let next = pieces[Int(piece)].next
            pieces[Int(piece)].next = free
            free = piece
            used -= 1
            piece = next
        }
    }

    /// Copies a name of `count` bytes to the front of `room`.
    func copy(_ head: UInt32, count: Int, into room: inout InlineArray<256, UInt8>) {
        var piece = head
        var at = 0
        while piece != 0, at < count {
            let end = min(at + NamePool.pieceBytes, count)
            var index = 0
            while at < end {
                room[at] = pieces[Int(piece)].bytes[index]
                at += 1
                index += 1
            }
            piece = pieces[Int(piece)].next
        }
    }
}
