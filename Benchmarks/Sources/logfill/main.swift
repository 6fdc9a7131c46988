import Foundation
import Kernel
import QueryLog
import Wire

// Fills a query log through the real writer: logfill STATE ROWS SEED [DAYS]
//
// Names follow a power law (exponent 1.1 over 300,000) with one in fifty never seen before; a quarter of the names is
// blocked; 40 clients ask, more by day than by night. Three values are rare on purpose: one client asks 3 times, one name is
// asked for twice, and one answer is NOTIMP.

struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        // xorshift64* (Vigna 2016)
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 2_685_821_657_736_338_717
    }
    mutating func unit() -> Double { Double(next() >> 11) / Double(1 << 53) }
}

let arguments = CommandLine.arguments
guard arguments.count >= 4, let count = Int(arguments[2]), let seed = UInt64(arguments[3]) else {
    FileHandle.standardError.write(Data("usage: logfill STATE ROWS SEED [DAYS]\n".utf8))
    exit(64)
}
let days = arguments.count > 4 ? Double(arguments[4])! : 30
var random = Generator(state: seed | 1)

let nameCount = 300_000
let words = ["ads", "cdn", "api", "www", "img", "static", "mail", "telemetry", "metrics", "login", "assets", "edge"]
let names = (0..<nameCount).map { number -> Name in
    let word = words[number % words.count]
    return Name("\(word)\(number % 7).host\(number).\(["example", "example.net", "example.org"][number % 3])")!
}
let digests = (0..<nameCount).map { number -> AnswerDigest in
    var digest = AnswerDigest()
    if number % 4 == 0 {
        digest.append(IPAddress(v4: 0))
    } else {
        if number % 5 == 0 { digest.append(target: names[(number * 7) % nameCount].bytes) }
        digest.append(IPAddress(v4: 0xcb00_7100 + UInt32(number % 256)))
    }
    return digest
}

let ring = try QueryRing(capacity: 16 << 20)
var options = QueryLogWriter.Options()
options.limits = QueryLogLimits(maximumAge: nil, maximumBytes: nil)
let writer = try QueryLogWriter(
    path: arguments[1] + "/querylog.db", rings: [ring],
    labels: LogLabels(list: { "list\($0)" }, app: { "/usr/bin/app\($0.pid % 1000 / 100)" }), options: options)
let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
let span = days * 86_400_000_000
let begun = Date()
var unique = 0
for number in 0..<count {
    var row = QueryRow()
    // Twice as many at noon as at midnight, roughly.
    let share = Double(number) / Double(count)
    row.time = now - Int64(span * (1 - share)) + Int64(3_600_000_000 * sin(share * days * 2 * .pi))
    row.client = IPAddress(v4: 0xc000_0201 + UInt32(random.next() % 40))
    row.transport = random.next() % 50 == 0 ? .tcp : .udp
    row.qtype = [1, 1, 1, 28, 28, 65, 12, 16][Int(random.next() % 8)]
    row.rcode = 0
    row.owner = Owner(uid: 1000, pid: Int32(random.next() % 12) * 100 + 1000, certainty: .exact)
    // The inverse of the distribution function of a bounded Pareto law.
    let rank = min(nameCount - 1, Int(pow(1 - random.unit() * (1 - pow(Double(nameCount), -0.1)), -1 / 0.1)) - 1)
    var digest = digests[rank]
    var name = names[rank]
    if random.next() % 50 == 0 {
        unique += 1
        name = Name("\(String(random.next(), radix: 36)).tracking.example")!
        digest = digests[1]
    } else if rank % 4 == 0 {
        row.verdict = .block
        row.reason = .list
        row.match = .suffix
        row.labels = 2
        row.list = Int32(rank % 5) + 1
        row.latency = Int32(15 + random.next() % 30)
    }
    if row.verdict == .forward {
        row.upstream = IPAddress(v4: 0xc633_6435 + UInt32(random.next() % 2))
        row.cached = random.next() % 10 < 6
        row.latency = row.cached ? Int32(15 + random.next() % 40) : Int32(3000 * exp(2 * random.unit()))
        if random.next() % 40 == 0 { row.rcode = 3 }
        if random.next() % 2000 == 0 { row.rcode = 2 }
    }
    let place = Double(number) / Double(count)
    if [0.21, 0.5, 0.83].contains(where: { Int($0 * Double(count)) == number }) {
        row.client = IPAddress(v4: 0xcb00_7163)
    }
    if [0.4, 0.6].contains(where: { Int($0 * Double(count)) == number }) { name = Name("needle.hay.example")! }
    if Int(0.3 * Double(count)) == number { row.rcode = 4 }
    while ring.used > ring.capacity / 2 { usleep(2000) }
    ring.push(row, qname: name.bytes, answer: digest.bytes)
    if number % 500_000 == 0 { print(Int(place * 100), "%", terminator: " ") }
}
_ = writer.flush(seconds: 60)
// What is left to be summed up is done when the writer is idle.
sleep(45)
writer.stop()
let seconds = Date().timeIntervalSince(begun)
let size = try FileManager.default.attributesOfItem(atPath: arguments[1] + "/querylog.db")[.size] as! Int
print(
    "\n\(count) rows, \(unique) names seen once, \(size) bytes, \(Double(size) / Double(count)) a row, \(Int(seconds)) s"
)
print("dropped \(writer.status.droppedRows)")
