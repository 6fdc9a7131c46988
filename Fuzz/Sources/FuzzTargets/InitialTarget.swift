import Wire

@testable import ContentFilter

/// QUIC: a byte that chooses, then the frames of an Initial as they are when opened, or datagrams as they stand.
enum InitialTarget {
    static func run(_ input: [UInt8]) {
        guard let first = input.first else { return }
        let bytes = Array(input.dropFirst())
        if first & 1 == 0 {
            gather(bytes)
        } else {
            datagrams(bytes, segmentSize: Int(first >> 1) * 8)
        }
    }

    /// Frames give the same handshake bytes in one packet as in a naive reading.
    private static func gather(_ frames: [UInt8]) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: StreamWindow.memoryByteCount, alignment: 64)
        defer { memory.deallocate() }
        var window = StreamWindow(base: memory)
        let isWhole = InitialReader.gather(frames.span.bytes, into: &window)
        let arrived = naive(frames)
        promise(isWhole == (arrived != nil), "frames")
        guard let arrived else { return }
        var end = 0
        while let byte = arrived[end] {
            promise(end < window.end && window.bytes(end + 1).u8(end) == byte, "handshake byte \(end)")
            end += 1
        }
        promise(window.end == end, "\(window.end) handshake bytes, not \(end)")
        var hello = HelloReader()
        var name = Name()
        if hello.read(window.bytes(end), into: &name) == .found {
            promise(Name(name.description) == name && name != Name(), "no name: \(name)")
        }
    }

    /// The bytes of CRYPTO frames by their offsets, the first to come kept; `nil` for frames that are not an Initial's.
    private static func naive(_ frames: [UInt8]) -> [Int: UInt8]? {
        var rest = frames[...]
        func integer() -> Int? {
            guard let first = rest.first, rest.count >= 1 << (first >> 6) else { return nil }
            let bytes = rest.prefix(1 << (first >> 6))
            rest = rest.dropFirst(bytes.count)
            return bytes.dropFirst().reduce(Int(first & 63)) { $0 << 8 | Int($1) }
        }
        var arrived: [Int: UInt8] = [:]
        while let type = rest.popFirst() {
            switch type {
            case 0, 1: continue
            case 2, 3:
                guard integer() != nil, integer() != nil, let ranges = integer(), ranges <= frames.count else {
                    return nil
                }
                for _ in 0..<2 * ranges + (type == 3 ? 4 : 1) where integer() == nil { return nil }
            case 6:
                guard let offset = integer(), let count = integer(), count <= rest.count else { return nil }
                for (index, byte) in rest.prefix(count).enumerated() where offset + index < StreamWindow.byteCount {
                    if arrived[offset + index] == nil { arrived[offset + index] = byte }
                }
                rest = rest.dropFirst(count)
            case 0x1c: return arrived
            default: return nil
            }
        }
        return arrived
    }

    private static func datagrams(_ bytes: [UInt8], segmentSize: Int) {
        var at = 0
        while let packet = QUICPacket(bytes.span.bytes, at: at) {
            promise(packet.begin == at && at < packet.number && packet.number <= packet.end, "packet number")
            promise(packet.end <= bytes.count && packet.destinationByteCount <= 20, "packet end")
            at = packet.end
        }
        var peek = NamePeek(capacity: 1)
        var ticket = PeekTicket(proto: Packet.Number.udp)!
        let udp = 8 + bytes.count
        guard 20 + udp < 65_536 else { return }
        let ip: [UInt8] = [0x45, 0, UInt8((20 + udp) >> 8), UInt8((20 + udp) & 255), 0, 0, 0, 0, 64, 17, 0, 0]
        let ports: [UInt8] = [156, 64, 1, 187, UInt8(udp >> 8), UInt8(udp & 255), 0, 0]
        let packet = ip + [192, 0, 2, 7, 198, 51, 100, 1] + ports + bytes
        let layout = Packet.parse(packet.span.bytes)
        promise(layout.kind == .udp, "datagram")
        _ = peek.feed(&ticket, packet.span.bytes, layout, segmentSize: segmentSize, now: 1)
        peek.close(&ticket)
        promise(peek.halfRead == 0, "a buffer was not given back")
    }

    // MARK: Seeds

    static var seeds: [[UInt8]] {
        let hello = StreamTarget.hello
        let crypto = { (range: Range<Int>) -> [UInt8] in
            [6, UInt8(range.lowerBound), UInt8(range.count)] + hello[range]
        }
        let scattered = crypto(40..<60) + [1, 0, 0] + crypto(60..<hello.count) + crypto(0..<45)
        let acknowledgments: [UInt8] = [2, 9, 0, 1, 0, 1, 1, 3, 0x40, 200, 0, 0, 1, 2, 3, 6, 0, 1, 1, 0x1c, 0]
        let initial: [UInt8] =
            [0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 9, 1, 5, 0x40, 40] + [UInt8](repeating: 3, count: 40)
        let second = [0xd3, 0x6b, 0x33, 0x43, 0xcf, 0, 0, 0, 40] + [UInt8](repeating: 4, count: 40)
        return [[0] + crypto(0..<63) + crypto(63..<hello.count), [0] + scattered, [0] + acknowledgments]
            + [[1] + initial + second, [17] + initial + second]
    }
}
