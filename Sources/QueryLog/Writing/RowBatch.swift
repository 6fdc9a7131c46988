internal import Kernel
internal import Wire

/// Rows between the rings and the next transaction: taken out of the rings when they fill up, kept until they are committed.
/// The writer's thread alone.
///
/// While the database cannot be written they wait here, up to `limit` bytes. With `folds`, queries that differ in nothing but
/// time, latency and the client's port become one row with a count, the time of the first and the mean of the latencies.
@safe
final class RowBatch {
    /// Bytes of rows held at most.
    let limit: Int
    private let privacy: QueryLogPrivacy
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    /// Bytes of rows held now.
    private(set) var byteCount = 0
    /// Rows and queries that these stand for; flows count as one.
    private(set) var rows = 0
    private(set) var queries: Int64 = 0
    private var folder = Folder()

    /// Room that is kept when the batch is empty.
    private static let kept = 256 << 10

    init(limit: Int, privacy: QueryLogPrivacy) {
        self.limit = max(limit, RowBatch.kept)
        self.privacy = privacy
        capacity = RowBatch.kept
        unsafe base = .allocate(byteCount: RowBatch.kept, alignment: 64)
    }

    deinit {
        unsafe base.deallocate()
    }

    /// Takes the rows of a ring up to `end`, as far as there is room, and gives their room back.
    ///
    /// - Returns: how many were taken.
    func take(_ ring: QueryRing, upTo end: Int, folding: Bool) -> Int {
        var position = ring.records.position
        var released = position
        var taken = 0
        while position < end, byteCount + RowBatch.largest <= limit {
            let isRead = ring.read(
                &position,
                query: { (row, qname, answer) throws(Never) in add(row, qname, answer, folding) },
                flow: { (row, name) throws(Never) in add(row, name) })
            guard isRead else { break }
            taken += 1
            if position - released > 64 << 10 {
                ring.records.release(to: position)
                released = position
            }
        }
        ring.records.release(to: position)
        return taken
    }

    private func add(_ row: borrowing QueryRow, _ qname: RawSpan, _ answer: RawSpan, _ folding: Bool) {
        var row = copy row
        queries += Int64(row.count)
        privacy.apply(to: &row)
        let isNamed = privacy.keepsNames
        let qnameCount = isNamed ? qname.byteCount : 0
        let answerCount = isNamed ? answer.byteCount : 0
        if folding, unsafe folder.fold(row, qname.part(0, qnameCount), answer.part(0, answerCount), at: byteCount, base)
        {
            return
        }
        let size = RowRecord.size(of: QueryRow.self, qnameCount + answerCount)
        reserve(size)
        unsafe RowRecord.write(base + byteCount, size: size, .query, row, qname, qnameCount, answer, answerCount)
        byteCount += size
        rows += 1
    }

    private func add(_ row: borrowing FlowRow, _ name: RawSpan) {
        guard privacy.keepsFlows else { return }
        var row = copy row
        privacy.apply(to: &row)
        let nameCount = privacy.keepsNames ? name.byteCount : 0
        let size = RowRecord.size(of: FlowRow.self, nameCount)
        reserve(size)
        unsafe RowRecord.write(base + byteCount, size: size, .flow, row, name, nameCount, RawSpan(), 0)
        byteCount += size
        rows += 1
        queries += 1
    }

    /// No record is larger.
    static let largest = 1024

    private func reserve(_ size: Int) {
        guard byteCount + size > capacity else { return }
        resize(capacity * 2)
    }

    private func resize(_ count: Int) {
        let larger = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
        unsafe larger.copyMemory(from: base, byteCount: byteCount)
        unsafe base.deallocate()
        unsafe base = larger
        capacity = count
    }

    /// Gives every row to one of the closures, in their order.
    func forEach<Failure: Error>(
        query: (borrowing QueryRow, RawSpan, RawSpan) throws(Failure) -> Void,
        flow: (borrowing FlowRow, RawSpan) throws(Failure) -> Void
    ) throws(Failure) {
        unsafe folder.settle(base)
        var at = 0
        while at < byteCount {
            let record = unsafe UnsafeRawPointer(base + at)
            try unsafe RowRecord.read(record, query: query, flow: flow)
            at += unsafe RowRecord.size(at: record)
        }
    }

    /// Forgets the rows, and gives a flood's memory back when it is over.
    func removeAll() {
        let isOver = max(byteCount, lastByteCount) * 4 < capacity && capacity > RowBatch.kept
        lastByteCount = byteCount
        byteCount = 0
        rows = 0
        queries = 0
        if isOver {
            resize(RowBatch.kept)
            folder = Folder()
        } else {
            folder.removeAll()
        }
    }

    /// Of the batch before.
    private var lastByteCount = 0
}

/// Finds rows of a batch that are the same query again.
private struct Folder {
    private struct Entry {
        var hash: UInt64
        /// Of the record in the batch.
        var offset: Int
        /// Of the latencies, of those answered.
        var latency: Int64
        var answered: Int64
    }

    private var entries: [Entry] = []
    /// Open addressing; index of `entries` + 1, 0: free. A power of two, at most half full.
    private var table: [UInt32] = []

    /// - Parameter end: where the record will lie when it is no other's repetition.
    /// - Returns: whether the row was added to an earlier one.
    mutating func fold(
        _ row: QueryRow, _ qname: RawSpan, _ answer: RawSpan, at end: Int, _ base: UnsafeMutableRawPointer
    ) -> Bool {
        if entries.count * 2 >= table.count { grow() }
        let hash = Folder.hash(row, qname)
        var slot = Int(truncatingIfNeeded: hash) & (table.count - 1)
        while table[slot] != 0 {
            let index = Int(table[slot]) - 1
            if entries[index].hash == hash,
                unsafe Folder.isSame(base + entries[index].offset, row, qname, answer)
            {
                let stored = unsafe (base + entries[index].offset + RowRecord.rowOffset).assumingMemoryBound(
                    to: QueryRow.self)
                unsafe stored.pointee.count &+= row.count
                if row.latency >= 0 {
                    entries[index].latency += Int64(row.latency)
                    entries[index].answered += 1
                }
                return true
            }
            slot = (slot + 1) & (table.count - 1)
        }
        let isAnswered = row.latency >= 0
        entries.append(
            Entry(hash: hash, offset: end, latency: isAnswered ? Int64(row.latency) : 0, answered: isAnswered ? 1 : 0))
        table[slot] = UInt32(entries.count)
        return false
    }

    private static func hash(_ row: QueryRow, _ qname: RawSpan) -> UInt64 {
        let asker = row.client.low ^ row.client.high &* 31 ^ row.upstream.low &* 7
        let what = UInt64(row.qtype) << 32 | UInt64(row.verdict.rawValue) << 16 | (row.cached ? 1 : 0)
        return KeyedHash.hash(qname, seed: KeyedHash.mix(asker &+ 1, what | 1))
    }

    private static func isSame(
        _ record: UnsafeMutableRawPointer, _ row: QueryRow, _ qname: RawSpan, _ answer: RawSpan
    ) -> Bool {
        var isSame = false
        unsafe RowRecord.read(
            record,
            query: { (other, otherName, otherAnswer) throws(Never) in
                guard otherName.matches(qname), otherAnswer.matches(answer) else { return }
                var like = copy other
                like.time = row.time
                like.latency = row.latency
                like.clientPort = row.clientPort
                like.count = row.count
                isSame = like == row
            },
            flow: { (_, _) throws(Never) in })
        return isSame
    }

    private mutating func grow() {
        table = Array(repeating: 0, count: max(1024, table.count * 2))
        for (index, entry) in entries.enumerated() {
            var slot = Int(truncatingIfNeeded: entry.hash) & (table.count - 1)
            while table[slot] != 0 { slot = (slot + 1) & (table.count - 1) }
            table[slot] = UInt32(index + 1)
        }
    }

    /// Writes the mean latencies into the rows.
    func settle(_ base: UnsafeMutableRawPointer) {
        for entry in entries where entry.answered > 1 {
            let row = unsafe (base + entry.offset + RowRecord.rowOffset).assumingMemoryBound(to: QueryRow.self)
            unsafe row.pointee.latency = Int32(truncatingIfNeeded: entry.latency / entry.answered)
        }
    }

    mutating func removeAll() {
        guard !entries.isEmpty else { return }
        entries.removeAll(keepingCapacity: true)
        for index in table.indices { table[index] = 0 }
    }
}
