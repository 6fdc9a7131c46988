import CTunnel
import Foundation
import Glibc
import Synchronization

/// Network namespaces of one test: made with iproute2, removed when `with` returns, however it does.
final class Lab: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static let number = Atomic<Int>(0)

    let prefix: String
    private let names = Mutex<[String]>([])

    init() {
        prefix = "wtp\(getpid())x\(Lab.number.add(1, ordering: .relaxed).newValue)"
    }

    deinit {
        close()
    }

    /// Runs `body` with a fresh lab, and removes its namespaces before it returns or throws: what is only left to a
    /// `deinit` can outlive the process.
    static func with<Result>(_ body: (Lab) throws -> Result) rethrows -> Result {
        let lab = Lab()
        defer { lab.close() }
        return try body(lab)
    }

    /// Removes the namespaces. Does nothing when they are gone.
    func close() {
        let gone = names.withLock { names in
            defer { names = [] }
            return names
        }
        for name in gone { _ = try? Lab.run("ip netns del \(name)") }
    }

    /// A new namespace with its loopback up.
    func namespace(_ role: String) throws -> String {
        let name = prefix + role
        try Lab.run("ip netns add \(name) && ip -n \(name) link set lo up")
        names.withLock { $0.append(name) }
        return name
    }

    /// A host `app` and its gateway `far`, joined by a veth link `e0`, with addresses of both families.
    func pair() throws -> (app: String, far: String) {
        let app = try namespace("app")
        let far = try namespace("far")
        try Lab.run(
            """
            for host in \(app) \(far); do
                ip netns exec $host sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
            done
            ip link add e0 netns \(app) type veth peer name e0 netns \(far)
            ip -n \(app) addr add 192.0.2.2/24 dev e0; ip -n \(far) addr add 192.0.2.1/24 dev e0
            ip -n \(app) addr add 2001:db8::2/64 dev e0 nodad; ip -n \(far) addr add 2001:db8::1/64 dev e0 nodad
            ip -n \(app) link set e0 up; ip -n \(far) link set e0 up
            for try in $(seq 200); do
                ip -n \(app) link show e0 | grep -q 'state UP' && break
                sleep 0.02
            done
            ip -n \(app) route add default via 192.0.2.1; ip -n \(app) -6 route add default via 2001:db8::1
            """)
        return (app, far)
    }

    /// Runs a shell script; throws with its output when it fails.
    @discardableResult
    static func run(_ script: String) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-ec", script]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(description: "\(script)\n\(output)") }
        return output
    }

    /// Runs `body` on a thread of its own that has entered the namespace, and waits for it. Threads started there are
    /// in the namespace too.
    static func inside<Result: Sendable>(
        _ namespace: String, _ body: @escaping @Sendable () throws -> Result
    ) throws -> Result {
        let box = Mutex<Swift.Result<Result, any Error>?>(nil)
        let end = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            let result = Swift.Result {
                let file = open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
                guard file >= 0 else { throw Failure(description: "no namespace \(namespace)") }
                defer { Glibc.close(file) }
                guard setns(file, CLONE_NEWNET) == 0 else {
                    throw Failure(description: "setns: \(errno)")
                }
                return try body()
            }
            box.withLock { $0 = result }
            end.signal()
        }
        end.wait()
        return try box.withLock { $0! }.get()
    }
}

/// `setns(2)`, which Glibc's module leaves out, and the type of a network namespace (`<linux/sched.h>`).
@_silgen_name("setns") private func setns(_ file: CInt, _ type: CInt) -> CInt
private let CLONE_NEWNET: CInt = 0x4000_0000
