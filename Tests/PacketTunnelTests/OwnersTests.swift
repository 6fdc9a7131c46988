import CAllocations
import CTunnel
import Foundation
import Kernel
import Testing
import Wire

@testable import PacketTunnel

/// Who sent a packet, with real programs in namespaces. The hooks are on a cgroup of the test's own.
@Suite("Owners", .serialized)
struct OwnersTests {
    static let backEnds: [CaptureRequest.BackEnd] = [.link, .route]

    @Test("names programs that are gone when it is asked", arguments: backEnds, [0, 33, 60_000])
    func shortLived(backEnd: CaptureRequest.BackEnd, uid: Int) throws {
        let cgroup = try TestCgroup()
        let dig = try Program.path("dig")
        let python = try Program.path("/usr/bin/python3")
        let sender = #"""
            import socket
            s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            s.sendto(b"query", ("2001:db8:1::1", 53))
            """#
        try Scene.run(backEnd) { peer, capture, hosts in
            let owners = try Owners(.path(cgroup.path), capture: capture, tun: peer.tun.ifindex)
            #expect(owners.problem == nil)
            var lookup = owners.lookup()
            for (command, path, proto) in [
                ("dig +tries=1 +time=1 @198.51.100.1 a.example", dig, 17),
                ("dig +tries=1 +time=1 @2001:db8:1::1 a.example", dig, 17),
                ("dig +tries=1 +time=1 +tcp @198.51.100.1 a.example", dig, 6),
                ("dig +tries=1 +time=1 +tcp @2001:db8:1::1 a.example", dig, 6),
                ("/usr/bin/python3 -c '\(sender)'", python, 17),
            ] {
                let program = try Program(command, namespace: hosts.app, cgroup: cgroup, uid: uid)
                #expect(peer.answer(1) == 1, "\(command)")
                let packet = peer.seen.last
                #expect(packet?.proto == UInt8(proto))
                _ = program.end()
                let owner = lookup.owner(of: packet)
                let wanted = Owner(
                    uid: Int32(uid), pid: program.pid, path: Owner.hash(of: path),
                    name: Owner.hash(of: String(path.split(separator: "/").last!)), certainty: .exact)
                #expect(owner == wanted, "\(command): \(owner), wanted \(wanted)")
                #expect(owners.program(of: owner) == path)
            }
        }
    }

    @Test("tells programs apart that one process runs one after the other")
    func exec() throws {
        let cgroup = try TestCgroup()
        let bash = try Program.path("bash")
        let dig = try Program.path("dig")
        try Scene.run(.link) { peer, capture, hosts in
            let owners = try Owners(.path(cgroup.path), capture: capture, tun: peer.tun.ifindex)
            var lookup = owners.lookup()
            let program = try Program(
                "bash -c 'exec 3<>/dev/udp/198.51.100.1/53; printf query >&3; exec dig +tries=1 +time=1 @198.51.100.2 a'",
                namespace: hosts.app, cgroup: cgroup)
            #expect(peer.answer(2) == 2)
            _ = program.end()
            let found = peer.seen.suffix(2).map { lookup.owner(of: $0) }
            #expect(found.map(\.pid) == [program.pid, program.pid])
            #expect(found.map(\.path) == [Owner.hash(of: bash), Owner.hash(of: dig)])
            #expect(found.map { owners.program(of: $0) } == [bash, dig])
        }
    }

    @Test("says who uses a socket now: a child that sends, a process of threads, one that has changed its user")
    func users() throws {
        let cgroup = try TestCgroup()
        try Scene.run(.link) { peer, capture, hosts in
            let owners = try Owners(.path(cgroup.path), capture: capture, tun: peer.tun.ifindex)
            var lookup = owners.lookup()
            func ask(_ text: String) throws -> (Owner, Program, [Int32]) {
                let program = try Program(
                    "/usr/bin/python3 -c '\(text)'", namespace: hosts.app, cgroup: cgroup)
                #expect(peer.answer(1) == 1)
                let said = program.end()
                return (
                    lookup.owner(of: peer.seen.last), program, said.split(separator: "\n").compactMap { Int32($0) }
                )
            }
            let far = #"("198.51.100.1", 53)"#
            let child = try ask(
                """
                import os, socket
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                if os.fork() == 0:
                    print(os.getpid()); s.sendto(b"query", \(far))
                else:
                    os.wait()
                """)
            #expect(child.0.pid == child.2.first && child.0.pid != child.1.pid, "\(child)")
            let threads = try ask(
                """
                import socket, threading
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                t = threading.Thread(target=lambda: s.sendto(b"query", \(far))); t.start(); t.join()
                """)
            #expect(threads.0.pid == threads.1.pid && threads.0.uid == 0)
            let changed = try ask(
                """
                import os, socket
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                os.setuid(33)
                s.connect(\(far)); s.send(b"query")
                """)
            #expect(changed.0.uid == 33 && changed.0.pid == changed.1.pid)
        }
    }

    @Test("gives the real user of a setuid program")
    func setuid() throws {
        let cgroup = try TestCgroup()
        try Scene.run(.link) { peer, capture, hosts in
            let owners = try Owners(.path(cgroup.path), capture: capture, tun: peer.tun.ifindex)
            var lookup = owners.lookup()
            let copy = "/usr/local/bin/\(hosts.lab.prefix)-dig"
            try Lab.run("install -m 4755 $(command -v dig) \(copy)")
            defer { unlink(copy) }
            let program = try Program(
                "\(copy) +tries=1 +time=1 @198.51.100.1 a", namespace: hosts.app, cgroup: cgroup, uid: 33)
            #expect(peer.answer(1) == 1)
            _ = program.end()
            let owner = lookup.owner(of: peer.seen.last)
            #expect(owner.uid == 33 && owner.path == Owner.hash(of: copy))
        }
    }

    @Test("knows the name of a program whose path is too long")
    func longPath() throws {
        let cgroup = try TestCgroup()
        try Scene.run(.link) { peer, capture, hosts in
            let owners = try Owners(.path(cgroup.path), capture: capture, tun: peer.tun.ifindex)
            var lookup = owners.lookup()
            let folder =
                "/tmp/\(hosts.lab.prefix)/"
                + [String](repeating: String(repeating: "d", count: 100), count: 3)
                .joined(separator: "/")
            try Lab.run("mkdir -p \(folder) && cp $(command -v dig) \(folder)/far-dig")
            let program = try Program(
                "\(folder)/far-dig +tries=1 +time=1 @198.51.100.1 a", namespace: hosts.app, cgroup: cgroup)
            #expect(peer.answer(1) == 1)
            _ = program.end()
            let owner = lookup.owner(of: peer.seen.last)
            #expect(owner.pid == program.pid && owner.certainty == .exact)
            #expect(owner.name == Owner.hash(of: "far-dig") && owner.path == 0)
            #expect(owners.program(of: owner) == nil)
        }
    }

    @Test("follows the path of a program out of mounts, as the process sees it, also when the file is gone")
    func mounts() throws {
        let cgroup = try TestCgroup()
        try Scene.run(.link) { peer, capture, hosts in
            let owners = try Owners(.path(cgroup.path), capture: capture, tun: peer.tun.ifindex)
            var lookup = owners.lookup()
            let folder = "/tmp/\(hosts.lab.prefix)/mount"
            try Lab.run("mkdir -p \(folder)")
            let script = """
                mount -t tmpfs inner \(folder) && mkdir \(folder)/deep && mount -t tmpfs most \(folder)/deep &&
                cp $(command -v dig) \(folder)/deep/lost-dig && exec 9<\(folder)/deep/lost-dig &&
                rm \(folder)/deep/lost-dig && exec /proc/self/fd/9 +tries=1 +time=1 @198.51.100.1 a
                """
            let program = try Program(
                "unshare -m sh -c '\(script)'", namespace: hosts.app, cgroup: cgroup)
            #expect(peer.answer(1) == 1)
            let said = program.end()
            let owner = lookup.owner(of: peer.seen.last)
            #expect(owner.pid == program.pid, "\(said)")
            #expect(owners.program(of: owner) == "\(folder)/deep/lost-dig")
            #expect(owner.name == Owner.hash(of: "lost-dig"))
        }
    }

    @Test("looks sockets up that the hooks have not seen", arguments: backEnds, [true, false])
    func lookedUp(backEnd: CaptureRequest.BackEnd, hooks: Bool) throws {
        let cgroup = try TestCgroup()
        let python = try Program.path("/usr/bin/python3")
        try Scene.run(backEnd) { peer, capture, hosts in
            let stdin = Pipe()
            let text = #"""
                import socket, sys
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.connect(("198.51.100.1", 53))
                print("ready", flush=True); sys.stdin.readline(); s.send(b"query"); sys.stdin.readline()
                """#
            let program = try Program(
                "/usr/bin/python3 -c '\(text)'", namespace: hosts.app, cgroup: cgroup, uid: 33, stdin: stdin)
            try program.waitFor("ready")
            let owners = try Owners(
                hooks ? .path(cgroup.path) : .none, capture: capture, tun: peer.tun.ifindex)
            #expect((owners.problem == nil) == hooks)
            var lookup = owners.lookup()
            stdin.fileHandleForWriting.write(Data("\n".utf8))
            #expect(peer.answer(1) == 1)
            let packet = peer.seen.last
            #expect(lookup.owner(of: packet) == .unknown)
            var owner = Owner.unknown
            _ = Scene.wait {
                owner = lookup.owner(of: packet)
                return owner != .unknown
            }
            let wanted = Owner(
                uid: 33, pid: program.pid, path: Owner.hash(of: python),
                name: Owner.hash(of: String(python.split(separator: "/").last!)), certainty: .probable)
            #expect(owner == wanted)
            #expect(owners.program(of: owner) == python)
            if let packet {
                let found = owners.found(FlowKey(packet))
                #expect(found == wanted)
                // Who cannot go on without it waits.
                let others = try Owners(.none, capture: capture, tun: peer.tun.ifindex)
                var patient = others.lookup()
                let now = Clock.monotonic()
                #expect(patient.owner(of: FlowKey(packet), now: now, patience: 5_000_000_000) == wanted)
                #expect(Clock.monotonic() - now < 5_000_000_000)
                var stranger = FlowKey(packet)
                stranger.sourcePort ^= 1
                #expect(patient.owner(of: stranger, now: now, patience: 5_000_000_000) == .unknown)
            }
            stdin.fileHandleForWriting.write(Data("\n".utf8))
            _ = program.end()
        }
    }

    @Test("does not take this machine's sockets for those of containers", arguments: [true, false], backEnds)
    func containers(served: Bool, backEnd: CaptureRequest.BackEnd) throws {
        let cgroup = try TestCgroup()
        let prepare = served ? Scene.container : Scene.container + "\n" + Scene.masquerade
        try Scene.run(backEnd, prepare: prepare, { if served { $0.serve = ["c*"] } }) { peer, capture, hosts in
            let owners = try Owners(.path(cgroup.path), capture: capture, tun: peer.tun.ifindex)
            var lookup = owners.lookup()
            // A socket of this machine on the same port, bound to no address.
            let port: UInt16 = 40_053
            let trap = socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
            defer { close(trap) }
            let bound = SocketAddress(IPAddress(v4: 0), port: port).withSockaddr { bind(trap, $0, $1) }
            #expect(bound == 0)
            let program = try Program(
                "dig +tries=1 +time=1 -b 10.9.0.2#\(port) @198.51.100.1 a", namespace: hosts.lab.prefix + "box",
                cgroup: cgroup)
            #expect(peer.answer(1) == 1)
            _ = program.end()
            let packet = peer.seen.last
            var owner = lookup.owner(of: packet)
            usleep(100_000)
            owner = lookup.owner(of: packet)
            // Behind a served link the packet still carries its socket, as the container's kernel is this machine's.
            let isKnown = owner.pid == program.pid && owner.certainty == .exact
            #expect(isKnown == (served && backEnd == .link), "\(owner)")
            #expect(isKnown || owner == .unknown, "\(owner)")
        }
    }

    @Test("finds owners without allocating")
    func allocations() throws {
        let cgroup = try TestCgroup()
        try Scene.run(.link) { peer, capture, hosts in
            let owners = try Owners(.path(cgroup.path), capture: capture, tun: peer.tun.ifindex)
            var lookup = owners.lookup()
            let program = try Program(
                "dig +tries=1 +time=1 @198.51.100.1 a", namespace: hosts.app, cgroup: cgroup)
            #expect(peer.answer(1) == 1)
            let flow = FlowKey(try #require(peer.seen.last))
            _ = program.end()
            let rounds = 1_000_000
            var sum = 0
            let before = allocations_of_this_thread()
            let start = Clock.monotonic()
            for _ in 0..<rounds {
                sum &+= Int(lookup.owner(of: flow, now: start).pid)
            }
            let spent = Clock.monotonic() - start
            #expect(allocations_of_this_thread() - before == 0)
            #expect(sum == rounds * Int(program.pid))
            print("an owner: \(spent / UInt64(rounds)) ns")
        }
    }

    @Test("says what it would attach")
    func steps() {
        let link = Owners.steps(.path("/cg"), .link)
        #expect(link.count == 5)
        #expect(link[0].command == "bpftool cgroup attach /cg cgroup_inet_sock_create name created multi")
        let route = Owners.steps(.path("/cg"), .route)
        #expect(Array(route.dropLast()) == link)
        #expect(route.last?.command == "bpftool cgroup attach /cg cgroup_inet_egress name leaving multi")
        #expect(Owners.steps(.none, .link).isEmpty)
    }

    @Test("works without hooks, and says why, where they cannot be had")
    func noHooks() throws {
        try Scene.run(.link) { peer, capture, _ in
            let owners = try Owners(.path("/nonexistent"), capture: capture, tun: peer.tun.ifindex)
            #expect(owners.problem == "open /nonexistent: No such file or directory")
            let other = try Owners(.path("/tmp"), capture: capture, tun: peer.tun.ifindex)
            #expect(other.problem?.contains("cannot be attached") == true, "\(other.problem ?? "")")
        }
    }
}

@Suite("SocketFinder")
struct SocketFinderTests {
    @Test("finds the mount of version 2 in the words of proc_pid_mountinfo(5)")
    func mountinfo() {
        let hybrid = """
            30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
            31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
            32 30 0:28 / /sys/fs/cgroup/a\\040b rw,relatime shared:10 master:1 - cgroup2 cgroup2 rw
            """
        #expect(Cgroup.root(mountinfo: hybrid) == "/sys/fs/cgroup/a b")
        #expect(Cgroup.root(mountinfo: "30 24 0:26 / /sys rw - sysfs sysfs rw\n") == nil)
        #expect(Cgroup.root(mountinfo: "30 24 0:26 / /sys -") == nil)
        #expect(Cgroup.root(mountinfo: "") == nil)
    }

    @Test("never reads half an answer while it is being written")
    func halves() throws {
        let bytes = 4096 * MemoryLayout<ctunnel_found>.stride
        nonisolated(unsafe) let table = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        table.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        let rounds: UInt64 = 300_000
        let writer = Thread {
            for round in 1...rounds {
                var entry = ctunnel_found()
                entry.hash = 7
                entry.path = round
                entry.name = round &* 3
                entry.time = ~round
                ctunnel_found_put(table, &entry)
            }
        }
        writer.start()
        var last: UInt64 = 0
        while last < rounds {
            var entry = ctunnel_found()
            guard ctunnel_found_get(table, 7, &entry) != 0 else { continue }
            #expect(entry.name == entry.path &* 3 && entry.time == ~entry.path && entry.path >= last)
            last = entry.path
        }
        var entry = ctunnel_found()
        #expect(ctunnel_found_get(table, 7 + 4096, &entry) == 0)
        #expect(ctunnel_found_get(table, 8, &entry) == 0)
        table.deallocate()
    }
}
