import Wire

/// What a reader found in what has arrived.
enum Reading: Equatable {
    case more
    case found
    case none(NoName)
}

/// Looks for the server name in a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3) while it arrives.
///
/// Each part is looked at once, as soon as it is there, so many small pieces cost no more than one. What is unknown is
/// stepped over: GREASE values (RFC 8701) are like any other. With Encrypted Client Hello the name is that of the outer
/// hello (RFC 9849), the only one on the wire.
struct HelloReader {
    private enum Part: UInt8 {
        case header
        case session
        case suites
        case compression
        case extensions
        case anExtension
    }

    /// Bytes of a hello at most, with its header.
    static let limit = 16_384
    private static let clientHello: UInt8 = 1
    private static let serverName: UInt16 = 0

    private var part = Part.header
    /// The offset of the part.
    private var at = 0
    /// The end of the message, then of the extensions.
    private var end = 4

    /// - Parameters:
    ///   - hello: the handshake bytes from the begin, more with each call.
    ///   - name: becomes the name when it is found.
    mutating func read(_ hello: RawSpan, into name: inout Name) -> Reading {
        while true {
            if at > end { return .none(.malformed) }
            switch part {
            case .header:
                guard hello.byteCount >= 4 else { return .more }
                guard hello.u8(0) == HelloReader.clientHello else { return .none(.otherProtocol) }
                end = 4 + Int(hello.u32(0) & 0xff_ffff)
                guard end <= HelloReader.limit else { return .none(.tooLong) }
                at = 4 + 2 + 32  // version and random
                part = .session
            case .session:
                guard step(over: 1, hello) else { return .more }
                part = .suites
            case .suites:
                guard step(over: 2, hello) else { return .more }
                part = .compression
            case .compression:
                guard step(over: 1, hello) else { return .more }
                part = .extensions
            case .extensions:
                if at == end { return .none(.unnamed) }
                guard at + 2 <= hello.byteCount else { return .more }
                let stop = at + 2 + Int(hello.u16(at))
                guard stop <= end else { return .none(.malformed) }
                end = stop
                at += 2
                part = .anExtension
            case .anExtension:
                if at == end { return .none(.unnamed) }
                guard at + 4 <= end else { return .none(.malformed) }
                guard at + 4 <= hello.byteCount else { return .more }
                let stop = at + 4 + Int(hello.u16(at + 2))
                if hello.u16(at) == HelloReader.serverName {
                    guard stop <= end else { return .none(.malformed) }
                    guard stop <= hello.byteCount else { return .more }
                    return HelloReader.read(serverNames: hello.part(at + 4, stop - at - 4), into: &name)
                }
                at = stop
            }
        }
    }

    /// Steps over a vector behind a length of so many bytes; false when the length has not arrived.
    private mutating func step(over lengthByteCount: Int, _ hello: RawSpan) -> Bool {
        guard at + lengthByteCount <= hello.byteCount else { return false }
        at += lengthByteCount + (lengthByteCount == 1 ? Int(hello.u8(at)) : Int(hello.u16(at)))
        return true
    }

    /// The first name of type host_name in a `ServerNameList`.
    private static func read(serverNames list: RawSpan, into name: inout Name) -> Reading {
        guard list.byteCount >= 2, Int(list.u16(0)) == list.byteCount - 2 else { return .none(.malformed) }
        var at = 2
        while at + 3 <= list.byteCount {
            let count = Int(list.u16(at + 1))
            guard at + 3 + count <= list.byteCount else { return .none(.malformed) }
            if list.u8(at) == 0 { return Reading(name.parse(host: list.part(at + 3, count))) }
            at += 3 + count
        }
        return at == list.byteCount ? .none(.unnamed) : .none(.malformed)
    }
}

extension Reading {
    init(_ host: Name.HostText) {
        switch host {
        case .name: self = .found
        case .address: self = .none(.address)
        case .malformed: self = .none(.malformed)
        }
    }
}
