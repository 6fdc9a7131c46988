import Glibc
import Kernel
import Testing

private let resolvers = ["198.51.100.53:53", "[2001:db8:1::53]:53"]

/// The redirection and the TCP server between the kernel's own client and listener, over a real TUN.
@Suite struct StreamKernelTests {
    @Test(arguments: resolvers, [true, false])
    func queriesOfAllSizesPass(resolver: String, hasOffloads: Bool) throws {
        let counters = try exchangeAllSizes(resolver, hasOffloads: hasOffloads)
        let isIPv6 = resolver.hasPrefix("[")
        #expect(counters.answeredFlows == ["\(isIPv6 ? "2001:db8::7" : "192.0.2.7") \(resolver)"])
        #expect((counters.superPacketsToListener > 0) == hasOffloads)
        #expect((counters.superPacketsFromListener > 0) == hasOffloads)
    }

    private func exchangeAllSizes(_ resolver: String, hasOffloads: Bool) throws -> StreamLab.Counters {
        let lab = try StreamLab(StreamLab.Settings(hasOffloads: hasOffloads))
        try lab.inside {
            let client = try StreamClient(resolver)
            for (id, (size, reply)) in [(12, 12), (30, 4000), (3000, 65_535), (65_535, 30)].enumerated() {
                try client.send(StreamMessage.query(UInt16(id), size, reply: reply))
                #expect(try client.readMessage() == StreamMessage.body(UInt16(id), reply))
            }
        }
        lab.stop()
        return lab.counters
    }

    @Test(arguments: resolvers) func noPacketAllocates(resolver: String) throws {
        // The first pass of a process through the code makes the runtime's tables.
        _ = try exchangeAllSizes(resolver, hasOffloads: true)
        let counters = try exchangeAllSizes(resolver, hasOffloads: true)
        #expect(counters.packets > 20)
        #expect(counters.allocations == 0, "in \(counters.packets) packets")
    }

    @Test(arguments: resolvers) func pipelinedAndSplitQueries(resolver: String) throws {
        let lab = try StreamLab()
        try lab.inside {
            let client = try StreamClient(resolver)
            // More than may be outstanding at a time, in few segments.
            try client.send((0..<1000).flatMap { StreamMessage.query($0) })
            var ids: Set<UInt16> = []
            for _ in 0..<1000 {
                let message = try #require(try client.readMessage())
                let id = UInt16(message[0]) << 8 | UInt16(message[1])
                #expect(message == StreamMessage.body(id, 40))
                ids.insert(id)
            }
            #expect(ids == Set(0..<1000))
            for byte in StreamMessage.query(7) {
                try client.send([byte])
                usleep(200)
            }
            #expect(try client.readMessage() == StreamMessage.body(7, 40))
        }
        lab.stop()
        #expect(lab.counters.queries == 1001)
    }

    @Test func manyConnectionsToManyResolvers() throws {
        let lab = try StreamLab()
        try lab.inside {
            var sockets: [CInt] = []
            for index in 0..<600 {
                let client = try StreamClient("198.51.100.\(1 + index % 200):53")
                try client.send(StreamMessage.query(UInt16(index), reply: 100 + index))
                sockets.append(dup(client.socket.number))
            }
            for (index, socket) in sockets.enumerated() {
                var bytes = [UInt8](repeating: 0, count: 102 + index)
                #expect(recv(socket, &bytes, bytes.count, CInt(MSG_WAITALL)) == bytes.count)
                #expect(Array(bytes[2...]) == StreamMessage.body(UInt16(index), 100 + index))
                close(socket)
            }
        }
        lab.stop()
        #expect(lab.counters.server.accepted == 600)
        #expect(lab.counters.answeredFlows.count == 200)
        #expect(lab.counters.resets == 0)
    }

    @Test(arguments: resolvers) func connectionsOneAfterTheOtherReuseFewFlows(resolver: String) throws {
        let lab = try StreamLab(StreamLab.Settings(capacity: 16))
        try lab.inside {
            for index in 0..<300 {
                let client = try StreamClient(resolver)
                try client.send(StreamMessage.query(UInt16(index)))
                #expect(try client.readMessage() == StreamMessage.body(UInt16(index), 40))
            }
        }
        lab.stop()
        #expect(lab.counters.queries == 300)
    }

    @Test(arguments: resolvers) func aFullTableRefuses(resolver: String) throws {
        let lab = try StreamLab(StreamLab.Settings(capacity: 2))
        try lab.inside {
            let first = try StreamClient(resolver)
            let second = try StreamClient(resolver)
            #expect(throws: KernelError("connect to \(resolver)", Errno(ECONNREFUSED))) {
                _ = try StreamClient(resolver)
            }
            try first.send(StreamMessage.query(1))
            #expect(try first.readMessage() == StreamMessage.body(1, 40))
            try second.send(StreamMessage.query(2))
            #expect(try second.readMessage() == StreamMessage.body(2, 40))
        }
        lab.stop()
        #expect(lab.counters.resets == 1)
    }

    @Test(arguments: resolvers) func aForgottenFlowIsReset(resolver: String) throws {
        let lab = try StreamLab()
        try lab.inside {
            let client = try StreamClient(resolver)
            try client.send(StreamMessage.query(1))
            #expect(try client.readMessage() == StreamMessage.body(1, 40))
            lab.forgetFlows()
            try client.send(StreamMessage.query(2))
            #expect(throws: KernelError("recv", Errno(ECONNRESET))) { try client.readMessage() }
        }
        lab.stop()
    }

    @Test func idleAndSurplusConnectionsAreClosed() throws {
        let lab = try StreamLab(StreamLab.Settings(connections: 2, idleSeconds: 1))
        try lab.inside {
            let first = try StreamClient()
            let second = try StreamClient()
            try second.send(StreamMessage.query(1))
            #expect(try second.readMessage() == StreamMessage.body(1, 40))
            let third = try StreamClient()
            try third.send(StreamMessage.query(3))
            #expect(try third.readMessage() == StreamMessage.body(3, 40))
            #expect(try first.read(1) == nil, "the oldest idle one made room")
            #expect(try second.read(1) == nil)
            #expect(try third.read(1) == nil)
        }
        lab.stop()
        #expect(lab.counters.server.evicted == 1)
        #expect(lab.counters.server.timedOut == 2)
    }

    @Test func onlyTheTunnelReachesTheListener() throws {
        let lab = try StreamLab()
        try lab.inside {
            // Programs on this machine: the kernel lets them in, the server does not.
            for address in ["10.1.0.1:53535", "[fd77:6562:7475:6e00::1]:53535"] {
                let client = try StreamClient(address)
                #expect(try client.read(1) == nil)
            }
        }
        lab.stop()
        #expect(lab.counters.server.refused == 2)
    }

    @Test func thePeerAnswersPing() throws {
        let lab = try StreamLab()
        try lab.inside {
            #expect(system("ping -c 2 -i 0.2 -W 2 -s 1000 10.1.0.2 >/dev/null") == 0)
            #expect(system("ping -c 2 -i 0.2 -W 2 -s 1000 fd77:6562:7475:6e00::2 >/dev/null") == 0)
            #expect(throws: KernelError("connect to 10.1.0.2:80", Errno(ECONNREFUSED))) {
                _ = try StreamClient("10.1.0.2:80")
            }
        }
        lab.stop()
    }
}
