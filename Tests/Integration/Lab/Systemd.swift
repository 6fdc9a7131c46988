import Foundation

/// systemd as the first process of a host of the lab, with webtun installed as `make install` does it.
///
/// It has namespaces of its own for processes, mounts, host name and cgroups, and a root in which this machine's files
/// cannot be written: /dev, /run, /tmp, /var and /etc/systemd are its own. Its units are this machine's, of which it starts
/// the basic ones only.
struct Systemd {
    let host: Host
    private let service: Running

    /// Boots, with `configuration` as /etc/webtun/webtun.toml and `dropIn` added to webtun's unit.
    static func boot(on host: Host, in cgroup: Cgroup, configuration: String, dropIn: String) async throws -> Systemd {
        let lab = host.lab
        let tree = lab.path("installed")
        try await Integration.must(
            ["env", "DESTDIR=\(tree)", "PREFIX=/usr", Paths.root + "/scripts/install", Paths.webtun], seconds: 60)
        try lab.write(configuration, to: "installed/etc/webtun/webtun.toml")
        try lab.write(dropIn, to: "lab.conf")
        let root = lab.path("root")
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: false)
        let script = """
            set -e
            mount --make-rprivate /
            mount --rbind / "\(root)"
            mount -o remount,bind,ro "\(root)"
            mount -t overlay -o "lowerdir=\(tree)/usr:/usr" overlay "\(root)/usr"
            mount -t overlay -o "lowerdir=\(tree)/etc:/etc" overlay "\(root)/etc"
            for folder in dev run tmp var etc/systemd/system; do
                mount -t tmpfs -o mode=755 tmpfs "\(root)/$folder"
            done
            mount -t proc proc "\(root)/proc"
            mount -t cgroup2 cgroup2 "\(root)/sys/fs/cgroup"
            cd "\(root)/dev"
            mknod -m 666 null c 1 3; mknod -m 666 zero c 1 5; mknod -m 666 full c 1 7; mknod -m 666 tty c 5 0
            mknod -m 666 random c 1 8; mknod -m 666 urandom c 1 9; mknod -m 600 console c 5 1
            mkdir net shm pts; mknod -m 600 net/tun c 10 200
            ln -s /run ../var/run; mkdir -m 1777 ../var/tmp ../run/lock ../var/lib
            mkdir -p ../run/systemd/system/webtun.service.d
            cp "\(lab.path("lab.conf"))" ../run/systemd/system/webtun.service.d/
            cd "\(root)"
            pivot_root . mnt
            umount -l /mnt
            exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
                /lib/systemd/systemd --unit=basic.target --log-target=null --show-status=no
            """
        let service = try await host.start(
            cgroup.command(
                ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--cgroup"]
                    + ["sh", "-c", script]), log: "systemd")
        let systemd = Systemd(host: host, service: service)
        let isUp = try await eventually(within: 20) {
            guard service.status == nil else { return true }
            return try await systemd.run(["systemctl", "is-active", "--quiet", "basic.target"]).isFine
        }
        guard isUp, service.status == nil else {
            throw LabError("systemd does not boot: \(service.output)\(service.errors)")
        }
        return systemd
    }

    /// The command line that runs `arguments` inside.
    private func command(_ arguments: [String]) throws -> [String] {
        let unshare = service.pid
        let children = try String(contentsOfFile: "/proc/\(unshare)/task/\(unshare)/children", encoding: .utf8)
        guard let first = pid_t(children.prefix { $0.isNumber }) else { throw LabError("systemd has no process yet") }
        return ["nsenter", "--target", "\(first)", "--all", "env", "NO_COLOR=1"] + arguments
    }

    func run(_ arguments: [String], seconds: Double = 30) async throws -> Output {
        guard let command = try? command(arguments) else { return try await Integration.run(["false"]) }
        return try await Integration.run(command, seconds: seconds)
    }

    @discardableResult
    func must(_ arguments: [String], seconds: Double = 30) async throws -> Output {
        try await Integration.must(command(arguments), seconds: seconds)
    }

    /// A program as systemd starts it, in a cgroup of its own below that of the host.
    func program(_ arguments: [String]) async throws -> Output {
        try await run(["systemd-run", "--quiet", "--pipe", "--wait", "--collect"] + arguments)
    }

    /// A property of webtun's unit, as `systemctl show` has it.
    func property(_ name: String) async throws -> String {
        try await must(["systemctl", "show", "--value", "--property", name, "webtun"]).lines.first ?? ""
    }
}
