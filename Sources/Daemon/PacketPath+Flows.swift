import ContentFilter
import Kernel
import PacketTunnel
import Wire

/// The stage of everything that is no DNS.
extension PacketPath {
    // MARK: 3c. Flows

    mutating func passOn(_ action: FlowEngine.Action, _ byteCount: Int) {
        switch action {
        case .forward:
            counters.passed &+= 1
            unsafe write(input, byteCount)
        case .reply(let packetByteCount):
            writeInPlace(packetByteCount)
        case .drop:
            counters.dropped &+= 1
        }
    }
}
