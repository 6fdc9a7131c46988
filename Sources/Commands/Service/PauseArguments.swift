import ArgumentParser
import Blocklist
import Daemon
import Foundation
import Kernel

/// Whom a pause speaks of.
struct PauseScopeArguments: ParsableArguments {
    @Option(name: .customLong("group"), help: ArgumentHelp("Only the lists and rules of a group.", valueName: "group"))
    var group: String?
    @OptionGroup var owner: OwnerArguments
    @Option(
        name: .customLong("client"),
        help: ArgumentHelp("Only for an address, a prefix or the device with a MAC address.", valueName: "client"))
    var client: String?

    func validate() throws {
        guard [group, owner.app, owner.user, client].count(where: { $0 != nil }) <= 1 else {
            throw ValidationError("one of --group, --app, --user and --client at a time")
        }
    }

    /// As they were given.
    var words: [String] {
        [("--group", group), ("--app", owner.app), ("--user", owner.user), ("--client", client)].flatMap {
            name, value in
            value.map { [name, $0] } ?? []
        }
    }

    var scope: PauseScope {
        get throws {
            if let group { return .group(group) }
            if let app = owner.app { return .subject(try PolicySubject(app: app)) }
            if let user = owner.user { return .subject(try PolicySubject(user: user)) }
            if let client { return .subject(try PolicySubject(client: client)) }
            return .all
        }
    }
}

extension PauseScope {
    /// In front of what is said of it: `group kids: `, nothing for all.
    var label: String { self == .all ? "" : "\(kind) \(text): ".printable }
}

/// How long a pause lasts.
enum PauseTime {
    /// Until it is ended.
    case open
    case seconds(UInt64)
    /// Until a clock shows so many minutes since midnight.
    case until(Int)

    init(_ words: [String]) throws {
        switch words.count {
        case 0: self = .open
        case 1:
            guard let seconds = Seconds.parse(words[0]) else {
                throw ValidationError("'\(words[0])' is no time; write 30s, 5m, 1h or 1h30m")
            }
            self = .seconds(seconds)
        case 2 where words[0] == "until":
            do {
                self = .until(try ClockTime.minutes(words[1]))
            } catch {
                throw ValidationError("\(error)")
            }
        default:
            throw ValidationError("'\(words.joined(separator: " "))' is no time; write 5m, or until 18:00")
        }
    }

    /// Seconds from now; nil: until it is ended.
    var seconds: UInt64? {
        switch self {
        case .open: return nil
        case .seconds(let seconds): return seconds
        case .until(let minutes):
            let now = Clock.unixMicroseconds()
            let end = GroupSchedule.next(minutes: minutes, after: now / 1_000_000)
            return UInt64(max(1, end - now / 1_000_000))
        }
    }

    /// `for 5m`, `until 18:00`, `until 'webtun resume'`
    func text(_ resume: String) -> String {
        switch self {
        case .open: "until '\(resume)'"
        case .seconds(let seconds): "for \(Seconds.print(seconds))"
        case .until(let minutes): "until \(ClockTime.text(minutes))"
        }
    }
}
