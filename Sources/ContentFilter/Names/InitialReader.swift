import Wire

/// Gathers the CRYPTO frames of a client's Initial packets (RFC 9000 section 19.6), which together are its ClientHello:
/// in any order, over any number of packets and datagrams.
struct InitialReader {
    /// Packets and datagrams of no use before a flow is given up. One would not do: a server ignores them too.
    private static let failureLimit = 32

    private var keys: InitialKeys?
    private var failures = 0
    private var hello = HelloReader()

    /// Reads one datagram: its packets one after the other (RFC 9000 section 12.2).
    ///
    /// - Parameter window: what has been gathered of the client's handshake bytes.
    mutating func read(
        _ datagram: RawSpan, _ opener: inout InitialOpener, _ window: inout StreamWindow, into name: inout Name
    ) -> Reading {
        var at = 0
        while let packet = QUICPacket(datagram, at: at) {
            at = packet.end
            guard packet.isInitial else { continue }
            if open(datagram, packet, &opener, &window) {
                guard InitialReader.gather(opener.frames, into: &window) else { return .none(.malformed) }
            } else {
                failures += 1
            }
        }
        // Nothing to read, or what belongs behind the handshake.
        if at == 0 { failures += 1 }
        if failures >= InitialReader.failureLimit { return .none(.undecipherable) }
        return hello.read(window.bytes(window.end), into: &name)
    }

    /// Opens a packet with the keys at hand, else with those that it would be the first packet for. If the latter fit, the
    /// client has begun anew, after a Retry or with another version, and what was gathered before is forgotten.
    private mutating func open(
        _ datagram: RawSpan, _ packet: QUICPacket, _ opener: inout InitialOpener, _ window: inout StreamWindow
    ) -> Bool {
        let bytes = datagram.part(packet.begin, packet.end - packet.begin)
        let number = packet.number - packet.begin
        if let keys, keys.version == packet.version, opener.open(bytes, number: number, keys: keys) { return true }
        let destination = datagram.part(packet.destination, packet.destinationByteCount)
        let fresh = InitialKeys(version: packet.version, destination: destination)
        if let keys, keys == fresh { return false }
        guard opener.open(bytes, number: number, keys: fresh) else { return false }
        if keys != nil {
            window.clear()
            hello = HelloReader()
        }
        keys = fresh
        return true
    }

    /// Puts the data of all CRYPTO frames in its place.
    ///
    /// - Returns: false when the frames are not what an Initial may hold (RFC 9000 section 12.4).
    static func gather(_ frames: RawSpan, into window: inout StreamWindow) -> Bool {
        var at = 0
        while at < frames.byteCount {
            let type = frames.u8(at)
            at += 1
            switch type {
            case 0x00, 0x01: break  // PADDING, PING
            case 0x02, 0x03:
                guard skipAcknowledgment(frames, &at, hasCounts: type == 3) else { return false }
            case 0x06:
                guard let offset = QUICPacket.integer(frames, &at), let count = QUICPacket.integer(frames, &at),
                    count <= frames.byteCount - at
                else { return false }
                if offset < StreamWindow.byteCount { window.insert(frames.part(at, count), at: offset) }
                at += count
            case 0x1c: return true  // CONNECTION_CLOSE: nothing follows that matters
            default: return false
            }
        }
        return true
    }

    /// Steps over an ACK frame (RFC 9000 section 19.3).
    private static func skipAcknowledgment(_ frames: RawSpan, _ at: inout Int, hasCounts: Bool) -> Bool {
        guard QUICPacket.integer(frames, &at) != nil, QUICPacket.integer(frames, &at) != nil,
            let ranges = QUICPacket.integer(frames, &at)
        else { return false }
        // The first range, then a gap and a length for each other one, then three counts.
        var left = 1 + (hasCounts ? 3 : 0)
        if ranges > frames.byteCount { return false }
        left += 2 * ranges
        for _ in 0..<left {
            if QUICPacket.integer(frames, &at) == nil { return false }
        }
        return true
    }
}
