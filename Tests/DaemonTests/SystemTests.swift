import Foundation
import Glibc
import Kernel
import Logging
import Testing

@testable import Daemon

@Suite struct ServiceManagerTests {
    /// What arrives on the socket `name` when a service sends `READY=1` and `STATUS=x`.
    func received(_ name: String) throws -> String {
        let number = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue), 0)
        defer { close(number) }
        let result = try UnixAddress(name).withSockaddr { bind(number, $0, $1) }
        guard result == 0 else { throw KernelError("bind \(name)") }
        let manager = try #require(try ServiceManager { $0 == "NOTIFY_SOCKET" ? name : nil })
        #expect(manager.watchdogInterval == nil)
        try manager.notify("READY=1", "STATUS=x")
        var buffer = [UInt8](repeating: 0, count: 100)
        let count = recv(number, &buffer, buffer.count, CInt(MSG_DONTWAIT))
        return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    }

    @Test func tellsThroughAPath() throws {
        let folder = try Folder()
        #expect(try received(folder.path + "/notify") == "READY=1\nSTATUS=x")
    }

    @Test func tellsThroughTheAbstractSpace() throws {
        #expect(try received("@webtun-test-\(getpid())") == "READY=1\nSTATUS=x")
    }

    @Test func isNoneWithoutTheVariable() throws {
        #expect(try ServiceManager { _ in nil } == nil)
        #expect(try ServiceManager { _ in "" } == nil)
    }

    @Test func tellsWhenTheManagerIsGone() throws {
        let folder = try Folder()
        let manager = try #require(try ServiceManager { $0 == "NOTIFY_SOCKET" ? folder.path + "/none" : nil })
        #expect(throws: KernelError("tell the service manager", Errno(ENOENT))) { try manager.notify("READY=1") }
    }

    @Test func readsTheWatchdog() throws {
        func interval(_ variables: [String: String]) throws -> UInt64? {
            try ServiceManager { variables[$0] ?? ($0 == "NOTIFY_SOCKET" ? "/x" : nil) }?.watchdogInterval
        }
        #expect(try interval(["WATCHDOG_USEC": "2000000"]) == 1_000_000_000)
        #expect(try interval(["WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "\(getpid())"]) == 1_000_000_000)
        #expect(try interval(["WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"]) == nil)
        #expect(try interval(["WATCHDOG_USEC": "0"]) == nil)
        #expect(try interval(["WATCHDOG_USEC": "x"]) == nil)
    }
}

@Suite struct InstanceLockTests {
    @Test func oneOwnerAtATime() throws {
        let folder = try Folder()
        #expect(!InstanceLock.isTaken(state: folder.path))
        let lock = try InstanceLock(state: folder.path)
        #expect(InstanceLock.isTaken(state: folder.path))
        do {
            _ = try InstanceLock(state: folder.path)
            Issue.record("must be refused")
        } catch {
            #expect(
                error.description
                    == "another webtun is running (process \(getpid())): it holds \(folder.path)/webtun.lock")
        }
        lock.unlock()
        #expect(!InstanceLock.isTaken(state: folder.path))
        let again = try InstanceLock(state: folder.path)
        again.unlock()
    }

    @Test func tellsWhenTheDirectoryIsMissing() {
        do {
            _ = try InstanceLock(state: "/tmp/webtun-none")
            Issue.record("must fail")
        } catch {
            #expect(error.description == "open /tmp/webtun-none/webtun.lock: No such file or directory")
        }
    }
}

@Suite struct StateDirectoryTests {
    @Test func isCreatedForItsOwnerOnly() throws {
        let folder = try Folder()
        let path = folder.path + "/a/b"
        try StateDirectory.create(path)
        try StateDirectory.create(path)
        var information = stat()
        #expect(stat(path, &information) == 0)
        #expect(information.st_mode == S_IFDIR | 0o700)
    }

    @Test func refusesAFile() throws {
        let folder = try Folder()
        let file = try folder.write("f", "")
        #expect(throws: KernelError("use the state directory \(file)", Errno(ENOTDIR))) {
            try StateDirectory.create(file)
        }
        #expect(throws: KernelError("create the state directory \(file)/x", Errno(ENOTDIR))) {
            try StateDirectory.create(file + "/x")
        }
    }
}

@Suite struct ConsoleLogTests {
    @Test func writesForTheJournal() {
        #expect(ConsoleLog.line(.error, "no\nway", ["b": "2", "a": "1"], time: nil) == "<3>no\n<3>way a=1 b=2\n")
        #expect(ConsoleLog.line(.notice, "x", [:], time: nil) == "<5>x\n")
        #expect(ConsoleLog.line(.debug, "x", [:], time: nil) == "<7>x\n")
    }

    @Test func writesForPeople() {
        #expect(
            ConsoleLog.line(.warning, "x", ["link": "eth0"], time: 1_795_521_600_123_456)
                == "2026-11-24T12:00:00Z warning: x link=eth0\n")
    }

    @Test func knowsTheJournal() {
        var information = stat()
        #expect(fstat(0, &information) == 0)
        #expect(ConsoleLog.isJournal("\(information.st_dev):\(information.st_ino)", descriptor: 0))
        #expect(!ConsoleLog.isJournal("1:1", descriptor: 0))
        #expect(!ConsoleLog.isJournal(nil, descriptor: 0))
    }
}
