import CTunnel
import Foundation
import Glibc
import Kernel
import Synchronization
import Wire

/// Looks owners up that the hooks have not seen, on a thread of its own: the socket by sock_diag(7), its process by /proc.
///
/// `owner` is for one thread, the packets'; everything else is for any. Memory is fixed.
@safe
final class OwnerFinder: Sendable {
    /// Nanoseconds for which an answer holds.
    static let freshness: UInt64 = 2_000_000_000
    private static let capacity = 256
    /// Searching `/proc` takes milliseconds, and the packets of a flow do not wait for it.
    private static let niceness: Int32 = 5

    private struct Request: Sendable {
        var flow = FlowKey(
            source: IPAddress(v4: 0), sourcePort: 0, destination: IPAddress(v4: 0), destinationPort: 0, proto: 0)
        var cookie: UInt64 = 0
        var hash: UInt64 = 0
    }

    private let seed = UInt64.random(in: .min ... .max)
    private let wakeup: Wakeup
    private let isStopping = Atomic<Bool>(false)
    /// Answers, written by the thread.
    private nonisolated(unsafe) let found: UnsafeMutableRawPointer
    /// Questions: a ring of one producer and one consumer. Positions never wrap.
    private nonisolated(unsafe) let requests: UnsafeMutablePointer<Request>
    private let head = Atomic<Int>(0)
    private let tail = Atomic<Int>(0)
    /// Producer: what was asked last, by the lower bits of the hash, and when.
    private nonisolated(unsafe) let asked: UnsafeMutablePointer<(hash: UInt64, time: UInt64)>
    private let texts: ProgramTexts

    /// Starts the thread, which works in the network namespace of the calling one.
    init(texts: ProgramTexts) throws(KernelError) {
        self.texts = texts
        wakeup = try Wakeup()
        unsafe found = UnsafeMutableRawPointer.allocate(
            byteCount: CTUNNEL_FOUND * MemoryLayout<ctunnel_found>.stride, alignment: 64)
        unsafe found.initializeMemory(
            as: UInt8.self, repeating: 0,
            count: CTUNNEL_FOUND * MemoryLayout<ctunnel_found>.stride)
        unsafe requests = .allocate(capacity: OwnerFinder.capacity)
        unsafe requests.initialize(repeating: Request(), count: OwnerFinder.capacity)
        unsafe asked = .allocate(capacity: OwnerFinder.capacity)
        unsafe asked.initialize(repeating: (0, 0), count: OwnerFinder.capacity)
        let sockets = try SocketFinder()
        let job = Job(sockets: sockets)
        Thread.detachNewThread { [self] in
            CurrentThread.setName("webtun-owners")
            CurrentThread.giveWay(niceness: OwnerFinder.niceness)
            run(job)
        }
    }

    deinit {
        unsafe found.deallocate()
        unsafe requests.deallocate()
        unsafe asked.deallocate()
    }

    /// Ends the thread, soon.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        wakeup.signal()
    }

    // MARK: The packets' thread

    /// What was found, or nobody, and the question is asked when it was not asked lately.
    func owner(_ flow: FlowKey, cookie: UInt64, now: UInt64, patience: UInt64) -> Owner {
        let hash = flow.ownerHash(seed: seed)
        if let owner = fresh(hash, now) { return owner }
        guard ask(flow, cookie, hash, now), patience > 0 else { return .unknown }
        var time = now
        while Clock.elapsed(from: now, to: time) < patience {
            usleep(20)
            time = Clock.monotonic()
            if let owner = fresh(hash, time) { return owner }
        }
        return .unknown
    }

    private func fresh(_ hash: UInt64, _ now: UInt64) -> Owner? {
        guard let (owner, time) = find(hash), Clock.elapsed(from: time, to: now) < OwnerFinder.freshness else {
            return nil
        }
        return owner
    }

    /// Puts the question to the thread. Returns whether an answer is to be expected.
    private func ask(_ flow: FlowKey, _ cookie: UInt64, _ hash: UInt64, _ now: UInt64) -> Bool {
        let place = Int(truncatingIfNeeded: hash) & (OwnerFinder.capacity - 1)
        if unsafe asked[place].hash == hash,
            unsafe Clock.elapsed(from: asked[place].time, to: now) < OwnerFinder.freshness
        {
            return true
        }
        let head = head.load(ordering: .relaxed)
        let waiting = head - tail.load(ordering: .acquiring)
        guard waiting < OwnerFinder.capacity else { return false }
        unsafe asked[place] = (hash, now)
        unsafe requests[head & (OwnerFinder.capacity - 1)] = Request(flow: flow, cookie: cookie, hash: hash)
        self.head.store(head + 1, ordering: .sequentiallyConsistent)
        // The thread sleeps only after it has seen an empty ring.
        if waiting == 0 { wakeup.signal() }
        return true
    }

    // MARK: Any thread

    /// What was found of a flow, however long ago.
    func found(_ flow: FlowKey) -> Owner? { find(flow.ownerHash(seed: seed))?.0 }

    private func find(_ hash: UInt64) -> (Owner, UInt64)? {
        var entry = ctunnel_found()
        guard unsafe ctunnel_found_get(found, hash, &entry) != 0 else { return nil }
        let owner = Owner(
            uid: entry.uid, pid: entry.pid, path: entry.path, name: entry.name,
            certainty: Owner.Certainty(rawValue: UInt8(truncatingIfNeeded: entry.certainty)) ?? .none)
        return (owner, entry.time)
    }

    // MARK: The thread

    private final class Job: @unchecked Sendable {
        var sockets: SocketFinder

        init(sockets: consuming SocketFinder) { self.sockets = sockets }
    }

    private func run(_ job: Job) {
        while !isStopping.load(ordering: .acquiring) {
            let tail = tail.load(ordering: .relaxed)
            guard tail < head.load(ordering: .sequentiallyConsistent) else {
                var entry = pollfd(fd: wakeup.number, events: Int16(POLLIN), revents: 0)
                _ = unsafe poll(&entry, 1, -1)
                wakeup.clear()
                continue
            }
            let request = unsafe requests[tail & (OwnerFinder.capacity - 1)]
            self.tail.store(tail + 1, ordering: .sequentiallyConsistent)
            answer(request, job)
        }
    }

    private func answer(_ request: Request, _ job: Job) {
        var entry = ctunnel_found()
        entry.hash = request.hash
        entry.uid = -1
        entry.pid = -1
        if let process = job.sockets.find(request.flow, cookie: request.cookie) {
            entry.uid = process.uid
            entry.pid = process.pid
            entry.certainty = UInt32(Owner.Certainty.probable.rawValue)
            if let path = process.path {
                entry.path = texts.note(path)
                entry.name = Owner.hash(
                    of: String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...]))
            }
        }
        entry.time = Clock.monotonic()
        unsafe ctunnel_found_put(found, &entry)
    }
}
