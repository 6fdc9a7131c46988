import ArgumentParser
import Blocklist
import Foundation
import Kernel
import Wire

/// Who asks, and when.
struct AskerArguments: ParsableArguments {
    @Option(
        name: .customLong("client"),
        help: ArgumentHelp("As a client asks: its address, or the MAC address of a device.", valueName: "client"))
    var client: String?
    @Option(
        name: .customLong("at"),
        help: ArgumentHelp(
            "As it is then: 21:30 for the next time it is that late, or 2026-11-24T21:30:00Z.", valueName: "time"))
    var time: String?

    /// Stands for the device of a MAC address, which may have any.
    private static let somewhere = IPAddress(v4: 0)

    func validate() throws {
        do {
            _ = try subject
            _ = try moment
        } catch {
            throw ValidationError("\(error)")
        }
    }

    private var subject: PolicySubject? {
        get throws {
            guard let client else { return nil }
            let subject = try PolicySubject(client: client)
            if case .address(let prefix) = subject, !prefix.isAddress {
                throw BlocklistError.badArgument("'\(client)' is a prefix; one address asks")
            }
            return subject
        }
    }

    /// Microseconds since 1970, UTC; nil: now.
    var moment: Int64? {
        get throws {
            guard let time else { return nil }
            if let date = try? Date(time, strategy: .iso8601) { return Int64(date.timeIntervalSince1970 * 1_000_000) }
            guard let minutes = try? ClockTime.minutes(time) else {
                throw BlocklistError.badArgument("'\(time)' is no time; write 21:30 or 2026-11-24T21:30:00Z")
            }
            return GroupSchedule.next(minutes: minutes, after: Clock.unixMicroseconds() / 1_000_000) * 1_000_000
        }
    }

    /// The address that asks; nil: of nobody in particular.
    var address: IPAddress? {
        get throws {
            switch try subject {
            case .address(let prefix): prefix.address
            case .mac: AskerArguments.somewhere
            default: nil
            }
        }
    }

    /// The policy at that time, in which the device of a MAC address is known.
    func policy(_ store: BlocklistStore, progress: ProgressHandler) throws -> PolicySnapshot {
        var neighbours: Neighbours = [:]
        if case .mac(let mac) = try subject { neighbours[AskerArguments.somewhere] = mac }
        return try store.snapshot(at: moment, neighbours: neighbours, progress: progress)
    }

    /// Who asks, in the numbers of a policy.
    func asker(_ owner: Owner, _ policy: PolicySnapshot) throws -> Asker {
        // Without an address nobody is meant who is in groups by it.
        let client = try address ?? IPAddress(high: 0, low: 0)
        return Asker(owner: owner, profile: policy.profile(of: client, owner: owner))
    }
}
