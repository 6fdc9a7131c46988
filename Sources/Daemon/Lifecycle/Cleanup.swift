import Glibc
import PacketTunnel

extension Daemon {
    /// Undoes what a daemon that died has left: changes of the system, and its control socket.
    ///
    /// - Returns: what was done, in commands; empty when there was nothing.
    /// - Throws: when a daemon runs with the state directory, `ConfigurationError`, `CaptureError`.
    public static func cleanup(state: String, file: String?) throws -> [String] {
        let request = try Configuration.load(file: file).captureRequest(state: state)
        // Without a state directory nobody can hold its lock, but rules may be there all the same.
        guard FileText.exists(state) else { return try request.cleanup() }
        let lock = try InstanceLock(state: state)
        var done = try request.cleanup()
        let path = ControlClient.path(state: state)
        if unsafe unlink(path) == 0 { done.append("rm \(path)") }
        lock.unlock()
        return done
    }
}
