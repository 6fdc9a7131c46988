import Foundation
import Kernel
import Wire

@testable import PacketTunnel

/// A cgroup of the test's own, below the root of version 2: hooks on it see nothing else of this machine.
final class TestCgroup: Sendable {
    let path: String

    init() throws {
        guard let root = Cgroup.root() else { throw Lab.Failure(description: "there is no cgroup of version 2") }
        path = "\(root)/wtp\(getpid())x\(Lab.number.add(1, ordering: .relaxed).newValue)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit {
        // Its processes have ended; the kernel may need a moment to notice.
        for _ in 0..<100 where rmdir(path) != 0 { usleep(10_000) }
    }
}

/// A real program as an application: in a namespace, in a cgroup, as a user. Ends by itself.
final class Program {
    let process = Process()
    private let output = Pipe()

    /// - Parameters:
    ///   - command: for a shell, which gives its process to the last program (`exec`).
    init(_ command: String, namespace: String, cgroup: TestCgroup?, uid: Int = 0, stdin: Pipe? = nil) throws {
        process.executableURL = URL(filePath: "/bin/sh")
        let join = cgroup.map { "echo $$ >\($0.path)/cgroup.procs; " } ?? ""
        process.arguments = [
            "-c",
            "\(join)exec ip netns exec \(namespace) setpriv --reuid=\(uid) --regid=\(uid) --clear-groups \(command)",
        ]
        process.standardOutput = output
        process.standardError = output
        if let stdin { process.standardInput = stdin }
        try process.run()
    }

    deinit {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
    }

    var pid: Int32 { process.processIdentifier }

    /// Waits until it has said something; throws when that is not `text`.
    func waitFor(_ text: String) throws {
        let said = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        guard said.contains(text) else { throw Lab.Failure(description: "no \(text) but: \(said)") }
    }

    /// Waits for its end and returns what it said.
    func end() -> String {
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return text
    }

    /// Where the program is that a name stands for, as `/proc/PID/exe` will say.
    static func path(_ name: String) throws -> String {
        let found = try Lab.run("readlink -f $(command -v \(name))")
        return found.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

extension OwnerLookup {
    /// The owner of a packet that was read from the TUN.
    mutating func owner(of packet: Packet?) -> Owner {
        guard let packet else { return .unknown }
        return owner(of: FlowKey(packet), now: Clock.monotonic())
    }
}

extension FlowKey {
    /// Of a packet with ports.
    init(_ packet: Packet) {
        self.init(
            source: packet.source, sourcePort: packet.sourcePort, destination: packet.destination,
            destinationPort: packet.destinationPort, proto: packet.proto)
    }
}
