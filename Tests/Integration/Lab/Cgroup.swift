import Foundation

/// A cgroup of version 2 for programs of a lab: what webtun is told of them cannot touch the rest of this machine.
final class Cgroup: Sendable {
    /// As every mount namespace sees it: `ip netns exec` hides what is mounted below /sys.
    let path: String
    private let own: String

    init(_ lab: Lab) throws {
        let mounts = try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
        let root = mounts.split(separator: "\n").map { $0.split(separator: " ") }.first {
            $0.count > 2 && $0[2] == "cgroup2"
        }
        guard let root else { throw LabError("there is no cgroup of version 2") }
        own = "\(root[1])/\(lab.id)"
        path = "/proc/\(getpid())/root\(own)"
        try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: false)
    }

    deinit {
        // Its processes have ended; the kernel may need a moment to notice.
        for _ in 0..<100 where rmdir(own) != 0 { usleep(10_000) }
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
