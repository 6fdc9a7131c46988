import ContentFilter
import Glibc
import Kernel
import Wire

/// Prints a line for each packet read, on standard output: for looking on, not for busy links.
///
/// `12:00:01.234567 udp 192.0.2.10:40000 > 198.51.100.53:53 61 bytes: answered`
struct PacketPrinter {
    private var line = ""

    /// Begins the line of a packet.
    mutating func begin(_ bytes: RawSpan, _ packet: Packet) {
        line = PacketPrinter.text(bytes, packet)
    }

    /// Tells what became of it.
    mutating func note(_ what: String) {
        line += ": " + what
    }

    mutating func note(_ action: FlowEngine.Action) {
        switch action {
        case .forward: note("forwarded")
        case .allow: note("allowed")
        case .reply: note("answered")
        case .reject: note("rejected")
        case .cut: note("cut")
        case .identify: break
        case .drop(let reason): note("dropped (\(reason))")
        }
    }

    /// Prints the line, with the time of this moment in UTC.
    mutating func end() {
        let micros = Clock.unixMicroseconds()
        let seconds = micros / 1_000_000 % 86_400
        let digits = { (number: Int64, count: Int) in
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let time =
            "\(digits(seconds / 3600, 2)):\(digits(seconds / 60 % 60, 2)):\(digits(seconds % 60, 2))"
            + ".\(digits(micros % 1_000_000, 6))"
        print("\(time) \(line)")
        fflush(nil)
    }

    private static func text(_ bytes: RawSpan, _ packet: Packet) -> String {
        if packet.kind == .malformed { return "malformed, \(bytes.byteCount) bytes" }
        let key = FlowKey(bytes, packet)
        var text = "\(key)"
        switch packet.kind {
        case .fragment: text += " fragment"
        case .tcp: text += " [\(flags(Segment(bytes, packet).flags))]"
        case .icmp: text += " type \(bytes.u8(packet.transport)) code \(bytes.u8(packet.transport + 1))"
        default: break
        }
        return text + " \(packet.end) bytes"
    }

    /// `SA` for SYN and ACK.
    private static func flags(_ flags: UInt8) -> String {
        let names: [(UInt8, Character)] = [
            (Segment.syn, "S"), (Segment.fin, "F"), (Segment.rst, "R"), (0x08, "P"), (Segment.ack, "A"),
        ]
        return String(names.filter { flags & $0.0 != 0 }.map(\.1))
    }
}
