internal import Wire

/// The framing of Frame Streams (fstrm, "Frame Streams protocol"): data frames are a length of 4 bytes and the data; control
/// frames are a length of 0, then the length of the control, its type and its fields. All integers in network order.
enum FrameStream {
    static let contentType = Array("protobuf:dnstap.Dnstap".utf8)
    /// Bytes of a control frame behind its length, at most (`FSTRM_CONTROL_FRAME_LENGTH_MAX`).
    static let maximumControl = 512

    enum Control: UInt32 {
        case accept = 1, start, stop, ready, finish
    }

    /// A control frame; all but STOP and FINISH name the content type.
    static func compose(_ control: Control) -> [UInt8] {
        let hasType = control != .stop && control != .finish
        var bytes: [UInt8] = []
        append(0, to: &bytes)
        append(UInt32(4 + (hasType ? 8 + contentType.count : 0)), to: &bytes)
        append(control.rawValue, to: &bytes)
        if hasType {
            append(1, to: &bytes)
            append(UInt32(contentType.count), to: &bytes)
            bytes += contentType
        }
        return bytes
    }

    static func append(_ value: UInt32, to bytes: inout [UInt8]) {
        for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    enum Parsed: Equatable {
        /// More bytes are needed.
        case more
        /// A control frame of so many bytes.
        case control(Control, byteCount: Int)
        /// What a receiver never sends.
        case broken(String)
    }

    /// Reads the control frame at the start of `bytes`. One with content types must name ours among them.
    static func parse(_ bytes: [UInt8]) -> Parsed {
        guard bytes.count >= 8 else { return .more }
        let span = unsafe bytes.span.bytes
        guard span.u32(0) == 0 else { return .broken("a data frame") }
        let length = Int(span.u32(4))
        guard length >= 4, length <= maximumControl else { return .broken("a control frame of \(length) bytes") }
        guard bytes.count >= 8 + length else { return .more }
        guard let control = Control(rawValue: span.u32(8)) else { return .broken("control \(span.u32(8))") }
        var at = 12
        var types = 0
        var isOurs = false
        while at < 8 + length {
            guard at + 8 <= 8 + length else { return .broken("a field that is cut off") }
            let count = Int(span.u32(at + 4))
            guard span.u32(at) == 1, count <= 8 + length - at - 8 else { return .broken("an unknown field") }
            types += 1
            if Array(bytes[at + 8..<at + 8 + count]) == contentType { isOurs = true }
            at += 8 + count
        }
        guard types == 0 || isOurs else { return .broken("another content type") }
        return .control(control, byteCount: 8 + length)
    }
}
