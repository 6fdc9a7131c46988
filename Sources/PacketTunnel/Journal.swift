import Foundation
import Kernel

/// The list of changes to be taken back, in `undo.json` of the state directory: written before each change, removed when
/// all are undone, so that a webtun that died leaves word of what it did.
///
/// One process; the daemon's lock keeps others away.
struct Journal {
    private struct Content: Codable {
        var version = 1
        var changes: [Change] = []
    }

    let path: String

    init(state: String) {
        path = state + "/undo.json"
    }

    /// The changes in the order of their making; none when there is no journal.
    func changes() throws(CaptureError) -> [Change] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        do {
            let content = try JSONDecoder().decode(Content.self, from: Data(contentsOf: URL(filePath: path)))
            guard content.version == 1 else {
                throw CaptureError.journal(path: path, reason: "written by another version (\(content.version))")
            }
            return content.changes
        } catch let error as CaptureError {
            throw error
        } catch {
            throw .journal(
                path: path,
                reason: "not a journal of webtun: \(error.localizedDescription); remove it when `ip rule` "
                    + "shows no rule of protocol \(Rule.protocolNumber)")
        }
    }

    /// Replaces the journal.
    func write(_ changes: [Change]) throws(CaptureError) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let directory = (path as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try encoder.encode(Content(changes: changes)).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw .journal(path: path, reason: "cannot be written: \(error.localizedDescription)")
        }
    }

    func remove() {
        _ = unsafe unlink(path)
    }

    /// Takes back what the journal has and removes it.
    func undo(_ netlink: inout NetlinkSocket) throws(CaptureError) {
        for change in try changes().reversed() {
            do {
                try change.revert(&netlink)
            } catch {
                throw .from(error)
            }
        }
        remove()
    }
}

extension CaptureRequest {
    /// Takes back whatever a webtun that died left: rules of its making, the TUN, and the changes of its journal.
    /// Needs no daemon.
    ///
    /// - Returns: the commands that would have done the same, empty when nothing was left.
    /// - Throws: `deviceInUse` when a process holds the TUN: then nothing is changed.
    public func cleanup() throws(CaptureError) -> [String] {
        try CaptureError.unified {
            var done: [String] = []
            var netlink = try NetlinkSocket()
            let device = try LinkTable(&netlink).links.first { $0.name == tun && $0.isTun }
            if device?.isHeld == true { throw CaptureError.deviceInUse(tun) }
            for rule in try FoundRule.all(&netlink) where rule.isOurs {
                try rule.delete(&netlink)
                done.append(rule.command)
            }
            if device != nil {
                try TunDevice.delete(tun, &netlink)
                done.append("ip link delete \(tun)")
            }
            if try TrackingTable.remove() { done.append(TrackingTable.undo) }
            try Journal(state: state).undo(&netlink)
            return done
        }
    }
}
