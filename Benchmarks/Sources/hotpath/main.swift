// What one query costs inside webtun, stage by stage, without kernel and network:
//
//     swift run -c release --package-path Benchmarks hotpath STATE HOSTS
//
// STATE is a state directory with a compiled index, HOSTS the hosts file it was built from. Prints nanoseconds a call.

import Blocklist
import DNSProxy
import Foundation
import Kernel
import QueryLog
import Wire

func measure(_ label: String, rounds: Int = 2_000_000, _ body: (Int) -> Void) {
    for index in 0..<rounds / 10 { body(index) }
    let start = Clock.monotonic()
    for index in 0..<rounds { body(index) }
    let spent = Double(Clock.monotonic() - start) / Double(rounds)
    print(label.padding(toLength: 44, withPad: " ", startingAt: 0), String(format: "%8.1f ns", spent))
}

func query(_ name: String, edns: Bool) -> [UInt8] {
    var bytes: [UInt8] = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns ? 1 : 0]
    for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + Array(label.utf8) }
    bytes += [0, 0, 1, 0, 1]
    if edns { bytes += [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0] }
    return bytes
}

guard CommandLine.arguments.count == 3 else {
    FileHandle.standardError.write(Data("usage: hotpath STATE HOSTS\n".utf8))
    exit(64)
}
let snapshot = try PolicySnapshot(state: CommandLine.arguments[1])
let hosts = try String(contentsOfFile: CommandLine.arguments[2], encoding: .utf8)
var listed: [String] = []
hosts.enumerateLines { line, _ in
    if let name = line.split(separator: " ").last, listed.count < 1_000_000 { listed.append(String(name)) }
}
var random = SystemRandomNumberGenerator()
let blocked = (0..<4096).map { _ in query(listed.randomElement(using: &random) ?? "a.example", edns: true) }
let unlisted = (0..<4096).map { query("www.host\($0).example", edns: true) }
print("\(snapshot.names) names")

var name = Name()
measure("Query.parse") { index in
    let message = blocked[index & 4095]
    _ = Query.parse(message.span.bytes, name: &name)
}
let blockedNames = blocked.map { message -> Name in
    _ = Query.parse(message.span.bytes, name: &name)
    return name
}
let unlistedNames = unlisted.map { message -> Name in
    _ = Query.parse(message.span.bytes, name: &name)
    return name
}
var found = 0
measure("verdict, listed") { index in
    if snapshot.verdict(for: blockedNames[index & 4095].bytes).action == .block { found += 1 }
}
measure("verdict, not listed, three labels") { index in
    if snapshot.verdict(for: unlistedNames[index & 4095].bytes).action == .block { found -= 1 }
}
precondition(found > 0)

var engine = Engine(settings: EngineSettings(), policy: snapshot, slots: 64)
let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 65535, alignment: 64)
var out = room.mutableBytes
measure("handle, blocked") { index in
    let message = blocked[index & 4095]
    _ = engine.handle(message.span.bytes, isStream: false, now: 1_000_000_000_000, into: &out)
}
for message in unlisted {
    let bytes = message.span.bytes
    guard case .ask = engine.handle(bytes, isStream: false, now: 1_000_000_000_000, into: &out) else { continue }
    let origin = Origin(
        client: IPAddress(v4: 1), clientPort: 1, resolver: IPAddress(v4: 2), resolverPort: 53, stream: 0, arrived: 0)
    _ = engine.park(0, bytes, origin)
    var reply = Array(message.dropLast(11))
    reply[2] = 0x81
    reply[3] = 0x80
    reply[7] = 1
    reply[11] = 0
    reply += [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 51, 100, 1]
    engine.complete(0, reply: reply.span.bytes, upstream: .none, now: 1_000_000_000_000)
    _ = engine.nextAnswer(into: &out)
}
measure("handle, cached") { index in
    let message = unlisted[index & 4095]
    _ = engine.handle(message.span.bytes, isStream: false, now: 1_001_000_000_000, into: &out)
}
let from = IPAddress(v4: 0xc633_6401)
measure("UDPDatagram.compose, 80 bytes") { _ in
    _ = UDPDatagram.compose(&out, from: from, port: 53, to: from, port: 4000, payloadByteCount: 80)
}
let ring = try QueryRing(capacity: 1 << 30)
var row = QueryRow()
measure("QueryRing.push") { index in
    row.time = Int64(index)
    ring.push(row, qname: blockedNames[index & 4095].bytes, answer: RawSpan())
}
measure("Clock.monotonic") { _ in _ = Clock.monotonic() }
