import Glibc
import Kernel
import Testing

@Suite struct PollerTests {
    @Test func wakesWithTheTagOfTheReadyDescriptor() throws {
        let poller = try Poller()
        let wakeup = try Wakeup()
        try poller.add(wakeup.number, tag: 0xdead_beef_0000_0007, .read)
        #expect(poller.wait(milliseconds: 0) == 0)
        wakeup.signal()
        try #require(poller.wait(milliseconds: 1000) == 1)
        #expect(poller.event(0).tag == 0xdead_beef_0000_0007)
        #expect(poller.event(0).ready.contains(.read))
        wakeup.clear()
        #expect(poller.wait(milliseconds: 0) == 0)
    }

    @Test func aClosedDescriptorIsAnErrorWithItsNumber() throws {
        let poller = try Poller()
        #expect(throws: KernelError("epoll_ctl of descriptor 999", Errno(EBADF))) {
            try poller.add(999, tag: 0, .read)
        }
    }

    @Test func aDescriptorIsClosedByItsOwner() throws {
        var numbers: [CInt] = [0, 0]
        #expect(pipe(&numbers) == 0)
        do {
            let writer = Descriptor(owning: numbers[1])
            #expect(writer.number >= 0)
        }
        var byte: UInt8 = 0
        #expect(read(numbers[0], &byte, 1) == 0, "end of file: the writer is closed")
        close(numbers[0])
    }
}
