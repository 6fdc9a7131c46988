public import Kernel

/// What the exchange tells: how a question ended, and what was counted on the way.
extension UpstreamExchange {
    /// Why a question has no reply.
    public enum Failure: UInt8, Sendable, Equatable {
        /// Nothing believable came within `totalTime`.
        case timeout
        /// The servers' hosts answer that nobody listens.
        case refused
        /// There is no way to the servers.
        case unreachable
        /// The servers answered with errors that hold no question.
        case serverFailure
        /// The list of servers is empty.
        case noServers
    }

    /// A question that is done. Its slot is free for another from the next call of `nextCompletion` on.
    public struct Completion: Sendable, Equatable {
        public enum Outcome: Sendable, Equatable {
            /// `reply` holds a message of so many bytes.
            case reply(byteCount: Int)
            case failed(Failure)
        }

        public let slot: Int
        public let outcome: Outcome
        /// Who answered.
        public let server: SocketAddress?
        /// Whether the reply came over TCP.
        public let isStream: Bool
        /// Nanoseconds since the answered message was sent; of a failure, since the question was asked.
        public let latency: UInt64
    }

    /// What has happened since the start; integers that only grow.
    public struct Counters: Sendable, Equatable {
        /// Questions asked, and those of them that joined another in flight.
        public var questions: UInt64 = 0
        public var joined: UInt64 = 0
        /// Messages sent and datagrams and TCP messages received.
        public var sent: UInt64 = 0
        public var received: UInt64 = 0
        /// Messages sent because an earlier one brought nothing usable.
        public var retries: UInt64 = 0
        /// Questions that failed, with `Failure.timeout` and with another.
        public var timeouts: UInt64 = 0
        public var failures: UInt64 = 0
        /// Messages not believed: wrong ID, question, case or shape.
        public var rejected: UInt64 = 0
        /// Messages sent over TCP.
        public var tcp: UInt64 = 0
        /// Questions refused because the table was full.
        public var overflow: UInt64 = 0
    }
}
