import Foundation
import Synchronization

/// A cgroup of version 2 for programs of a lab: what webtun is told of them cannot touch the rest of this machine.
final class Cgroup: Sendable {
    /// As every mount namespace sees it: `ip netns exec` hides what is mounted below /sys.
    let path: String
    private let own: String

    private static let count = Atomic<Int>(0)

    /// Made before the lab whose programs it is for, so that it goes after them.
    init() throws {
        let mounts = try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
        let root = mounts.split(separator: "\n").map { $0.split(separator: " ") }.first {
            $0.count > 2 && $0[2] == "cgroup2"
        }
        guard let root else { throw LabError("there is no cgroup of version 2") }
        own = "\(root[1])/wt\(getpid())c\(Cgroup.count.wrappingAdd(1, ordering: .relaxed).newValue)"
        path = "/proc/\(getpid())/root\(own)"
        try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: false)
    }

    deinit { remove() }

    /// Takes it away when its processes have ended, for which the kernel may need a moment. Returns whether it is gone.
    @discardableResult
    func remove() -> Bool {
        for _ in 0..<200 {
            if Cgroup.remove(own) { return true }
            usleep(10_000)
        }
        return false
    }

    /// With the cgroups that its processes have made below.
    private static func remove(_ path: String) -> Bool {
        if rmdir(path) == 0 || errno == ENOENT { return true }
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
            var isFolder: ObjCBool = false
            let below = "\(path)/\(name)"
            if FileManager.default.fileExists(atPath: below, isDirectory: &isFolder), isFolder.boolValue {
                _ = remove(below)
            }
        }
        return rmdir(path) == 0
    }

    /// The command line that runs `arguments` in the cgroup as a user. The program has the process of the first word.
    func command(_ arguments: [String], uid: Int = 0) -> [String] {
        [
            "sh", "-c", "echo $$ >\(path)/cgroup.procs; exec \"$@\"", "sh", "setpriv", "--reuid=\(uid)",
            "--regid=\(uid)", "--clear-groups",
        ] + arguments
    }

    /// For webtun's configuration.
    var configuration: String { "[owners]\ncgroup = \"\(path)\"\n" }
}
