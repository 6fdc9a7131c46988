import Wire

/// The packets whose first fragment was dropped a short while ago: their other fragments are of no use to anybody.
///
/// One thread. Nothing allocates; a new packet takes the place of an older one with the same place in the table.
struct FragmentTable {
    struct Entry {
        var source = IPAddress(v4: 0)
        var destination = IPAddress(v4: 0)
        var identification: UInt32 = 0
        var proto: UInt8 = 0
        /// Nanoseconds; 0: empty.
        var until: UInt64 = 0
    }

    /// Seconds that a host waits for the fragments of a packet (RFC 8200 section 4.5).
    private static let patience: UInt64 = 60_000_000_000
    private var entries = InlineArray<64, Entry>(repeating: Entry())

    mutating func insert(_ packet: Packet, _ fragment: Fragment, now: UInt64) {
        entries[FragmentTable.place(packet, fragment)] = Entry(
            source: packet.source, destination: packet.destination, identification: fragment.identification,
            proto: packet.isIPv6 ? 0 : packet.proto, until: now + FragmentTable.patience)
    }

    func holds(_ packet: Packet, _ fragment: Fragment, now: UInt64) -> Bool {
        let entry = entries[FragmentTable.place(packet, fragment)]
        return entry.until > now && entry.identification == fragment.identification
            && entry.proto == (packet.isIPv6 ? 0 : packet.proto) && entry.source == packet.source
            && entry.destination == packet.destination
    }

    private static func place(_ packet: Packet, _ fragment: Fragment) -> Int {
        Int((fragment.identification ^ UInt32(truncatingIfNeeded: packet.destination.low)) % 64)
    }
}
