import Foundation

/// What a command asks of the running daemon: one JSON object on a line of its own.
public enum ControlRequest: Sendable, Equatable {
    case status
    /// Answer without filtering, for so many seconds or, with nil, until `resume`.
    case pause(seconds: UInt64?)
    case resume
    /// Read configuration and lists anew.
    case reload
    /// What the cache holds of a question: a name as text and a query type.
    case cached(name: String, qtype: UInt16)

    /// The line, with its end.
    var line: [UInt8] {
        let body =
            switch self {
            case .status: Body(request: "status")
            case .pause(let seconds): Body(request: "pause", seconds: seconds)
            case .resume: Body(request: "resume")
            case .reload: Body(request: "reload")
            case .cached(let name, let qtype): Body(request: "cached", name: name, qtype: qtype)
            }
        return JSONLine.compose(body)
    }

    struct Refusal: Error, Equatable {
        let reason: String
    }

    /// Reads a line without its end.
    static func parse(_ line: [UInt8]) throws(Refusal) -> ControlRequest {
        let body: Body
        do {
            body = try JSONDecoder().decode(Body.self, from: Data(line))
        } catch {
            throw Refusal(reason: "a request is one JSON object a line with a member \"request\"")
        }
        guard body.seconds == nil || body.request == "pause" else {
            throw Refusal(reason: "\"\(body.request)\" takes no \"seconds\"")
        }
        guard (body.name == nil && body.qtype == nil) == (body.request != "cached") else {
            throw Refusal(reason: "\"cached\" takes \"name\" and \"qtype\", other requests do not")
        }
        switch body.request {
        case "cached":
            guard let name = body.name, let qtype = body.qtype, name.utf8.count <= 1024 else {
                throw Refusal(reason: "\"cached\" takes \"name\" and \"qtype\"")
            }
            return .cached(name: name, qtype: qtype)
        case "status": return .status
        case "pause":
            guard body.seconds != 0 else { throw Refusal(reason: "\"seconds\" must be above 0") }
            return .pause(seconds: body.seconds)
        case "resume": return .resume
        case "reload": return .reload
        default: throw Refusal(reason: "unknown request \"\(body.request)\"")
        }
    }

    private struct Body: Codable {
        var request: String
        var seconds: UInt64?
        var name: String?
        var qtype: UInt16?
    }
}

/// The daemon's answer: one JSON object on a line of its own.
public struct ControlReply: Codable, Sendable, Equatable {
    /// Whether it was done.
    public var ok: Bool
    /// Why it was not done.
    public var error: String?
    /// The state after it.
    public var status: DaemonStatus?
    /// What the user should know of it.
    public var notes: [String]?
    /// To `cached`.
    public var cached: CachedAnswer?

    static func done(_ status: DaemonStatus, notes: [String]? = nil) -> ControlReply {
        ControlReply(ok: true, status: status, notes: notes)
    }

    static func done(_ status: DaemonStatus, cached: CachedAnswer) -> ControlReply {
        ControlReply(ok: true, status: status, cached: cached)
    }

    static func refused(_ reason: String) -> ControlReply {
        ControlReply(ok: false, error: reason)
    }
}

/// JSON without a line end inside, with one behind it.
enum JSONLine {
    static func compose(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else {
            preconditionFailure("\(type(of: value)) has values that JSON cannot hold")
        }
        return Array(data) + [UInt8(ascii: "\n")]
    }
}
