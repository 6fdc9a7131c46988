import Foundation

/// Where the processes of this machine are ordered into cgroups of version 2.
enum Cgroup {
    /// The directory where the hierarchy is mounted: `/sys/fs/cgroup`, or with version 1 beside it
    /// `/sys/fs/cgroup/unified`; nil when there is none. In a container it is usually the container's own part.
    static func root() -> String? {
        guard let text = try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8) else { return nil }
        return root(mountinfo: text)
    }

    /// - Parameter text: as in proc_pid_mountinfo(5): fields, a hyphen, the type.
    static func root(mountinfo text: String) -> String? {
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 6, let hyphen = fields.firstIndex(of: "-"), hyphen + 1 < fields.count,
                fields[hyphen + 1] == "cgroup2"
            else { continue }
            return unescaped(fields[4])
        }
        return nil
    }

    /// Spaces and such are written as three octal digits.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
