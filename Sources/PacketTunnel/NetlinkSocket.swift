import CTunnel
import Glibc
import Kernel

/// A netlink socket, of rtnetlink or netfilter: requests with their acknowledgement, transactions, dumps, events. One thread at a
/// time; blocking, but for events.
struct NetlinkSocket: ~Copyable {
    private let descriptor: Descriptor
    private var sequence: UInt32 = 0
    private var buffer = [UInt8](repeating: 0, count: 1 << 16)

    /// - Parameter groups: the events to receive, a mask of `RTMGRP_*`; 0 for requests.
    init(groups: UInt32 = 0) throws(KernelError) {
        descriptor = try Descriptor(ctunnel_rtnetlink(groups), "open an rtnetlink socket")
    }

    /// A socket to netfilter (`NETLINK_NETFILTER`).
    ///
    /// - Parameter group: the events to receive, one of `NFNLGRP_*`; 0: none.
    init(netfilter group: UInt32) throws(KernelError) {
        descriptor = try Descriptor(ctunnel_netfilter(group), "open a netfilter socket")
    }

    /// For `Poller.add`.
    var number: CInt { descriptor.number }

    /// Sends a request and waits for its acknowledgement. The kernel's own words, where it has some, join `action`.
    mutating func request(_ message: NetlinkMessage, _ action: @autoclosure () -> String) throws(KernelError) {
        var message = message
        sequence += 1
        message.number(sequence)
        try send(message, action())
        while true {
            var rest = try receive(action())
            while let reply = NetlinkReply(&rest) {
                guard reply.sequence == sequence, reply.type == Int(NLMSG_ERROR) else { continue }
                let code = reply.header(0, Int32.self)
                if code == 0 { return }
                throw KernelError(action(), Errno(-code))
            }
        }
    }

    /// Sends a dump request and gives each object to `body`. An interrupted dump is repeated from the start after
    /// `restart`.
    mutating func dump(
        _ message: NetlinkMessage, _ action: @autoclosure () -> String, _ body: (NetlinkReply) -> Void
    ) throws(KernelError) {
        var message = message
        sequence += 1
        message.number(sequence)
        try send(message, action())
        while true {
            var rest = try receive(action())
            while let reply = NetlinkReply(&rest) {
                guard reply.sequence == sequence else { continue }
                switch reply.type {
                case Int(NLMSG_DONE):
                    return
                case Int(NLMSG_ERROR):
                    let code = reply.header(0, Int32.self)
                    if code == 0 { return }  // the acknowledgement of a request for one object
                    throw KernelError(action(), Errno(-code))
                default:
                    body(reply)
                }
            }
        }
    }

    /// Sends messages that netfilter carries out all or none, each but the first and the last with `NLM_F_ACK`: the kernel is done
    /// when `send` returns.
    mutating func transact(_ messages: [NetlinkMessage], _ action: @autoclosure () -> String) throws(KernelError) {
        var bytes: [UInt8] = []
        for var message in messages {
            sequence += 1
            message.number(sequence)
            bytes += message.bytes
        }
        try send(bytes, action())
        var failure: CInt = 0
        while var rest = receiveNow() {
            while let reply = NetlinkReply(&rest) {
                let code = reply.type == Int(NLMSG_ERROR) ? reply.header(0, Int32.self) : 0
                if failure == 0, code != 0 { failure = -code }
            }
        }
        if failure != 0 { throw KernelError(action(), Errno(failure)) }
    }

    /// Gives each event that waits to `body`. Events that the kernel had to drop are not missed.
    mutating func events(_ body: (NetlinkReply) -> Void) {
        while true {
            guard var rest = receiveNow() else {
                if errno == ENOBUFS || errno == EINTR { continue }
                return
            }
            while let reply = NetlinkReply(&rest) { body(reply) }
        }
    }

    /// What waits on the socket; `nil` when nothing does, with `errno`.
    private mutating func receiveNow() -> ArraySlice<UInt8>? {
        let count = unsafe buffer.withUnsafeMutableBytes { room in
            unsafe recv(descriptor.number, room.baseAddress, room.count, CInt(MSG_DONTWAIT))
        }
        return count >= 0 ? buffer[..<count] : nil
    }

    /// Takes all waiting events off the socket without looking at them. Returns whether there were any; events that the
    /// kernel had to drop count too.
    mutating func drain() -> Bool {
        var any = false
        while true {
            if receiveNow() != nil || errno == ENOBUFS {
                any = true
            } else if errno != EINTR {
                return any
            }
        }
    }

    private func send(_ message: NetlinkMessage, _ action: @autoclosure () -> String) throws(KernelError) {
        try send(message.bytes, action())
    }

    private func send(_ bytes: [UInt8], _ action: @autoclosure () -> String) throws(KernelError) {
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.send(descriptor.number, $0.baseAddress, $0.count, 0) }
        if count < 0 { throw KernelError(action()) }
    }

    private mutating func receive(_ action: @autoclosure () -> String) throws(KernelError) -> ArraySlice<UInt8> {
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { room in
                unsafe recv(descriptor.number, room.baseAddress, room.count, 0)
            }
            if count >= 0 { return buffer[..<count] }
            if errno != EINTR { throw KernelError(action()) }
        }
    }
}
