import Foundation
import Kernel
import QueryLog
import Testing
import Wire

@testable import Export

/// A directory that is removed with its contents when the value ends.
final class Scratch {
    let path: String

    init() {
        var template = Array("/tmp/webtun-export-XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template))
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

/// A program that runs beside the test and is ended with the value.
final class Peer {
    let process = Process()
    private let output = Pipe()

    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        // Threads of tests block signals, and what they start would too.
        process.arguments = ["--default-signal"] + arguments
        process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC"].merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        try process.run()
    }

    /// What it wrote; waits for its end.
    func text() -> String {
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    func stop(_ signal: Int32 = SIGTERM) {
        if process.isRunning { kill(process.processIdentifier, signal) }
        process.waitUntilExit()
    }

    deinit {
        if process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
    }
}

/// Waits until it holds, ten seconds at most.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<1000 {
        if try condition() { return true }
        usleep(10_000)
    }
    return try condition()
}

/// An exporter that runs in a thread of its own until `stop`.
final class Running {
    let exporter: Exporter
    private let ended = DispatchSemaphore(value: 0)

    init(_ options: Exporter.Options, events: EventSocket? = nil, metrics: [Metric] = []) throws {
        exporter = try Exporter(
            options, events: events, .init(metrics: { metrics }, listName: { "list\($0)" }))
        let (exporter, ended) = (exporter, ended)
        Thread.detachNewThread {
            exporter.run()
            ended.signal()
        }
    }

    func stop() {
        exporter.stop()
        ended.wait()
    }
}

/// An answer of one A record, `name` in wire form without compression.
func message(_ name: String, id: UInt16 = 0x1234) -> [UInt8] {
    let qname = Name(name)!
    var bytes: [UInt8] = [UInt8(id >> 8), UInt8(id & 255), 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
    for index in 0..<qname.bytes.byteCount { bytes.append(qname.bytes.u8(index)) }
    bytes += [0, 1, 0, 1, 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7]
    return bytes
}

func row(_ change: (inout QueryRow) -> Void = { _ in }) -> QueryRow {
    var row = QueryRow()
    row.time = 1_767_225_600_123_456
    row.client = IPAddress("192.0.2.10")!
    row.clientPort = 4660
    row.resolver = IPAddress("198.51.100.53")!
    row.qtype = 1
    row.rcode = 0
    row.latency = 2500
    row.upstream = IPAddress("203.0.113.53")!
    change(&row)
    return row
}

extension TapRing {
    @discardableResult
    func add(_ row: QueryRow, _ message: [UInt8], kind: TapRow.Kind = .answer) -> Bool {
        push(TapRow(kind, row, resolverPort: 53), message: message.span.bytes)
    }
}
