/// Prefixes added one by one, brought to the form in which the longest one that holds an address is found by looking for
/// the last start at or before it.
///
/// Sorted by their first address, prefixes nest like brackets. Where an inner one ends inside an outer one, the outer one
/// starts again: so each address belongs to the run of the last start before it, or to none when that run's prefix does not
/// hold it. A prefix costs one run, and one more where something follows inside its parent.
struct PrefixRuns<Key: FixedWidthInteger & UnsignedInteger & Sendable> {
    struct Run: Equatable {
        var start: Key
        /// Bits of the prefix that the run belongs to.
        var length: UInt8
        /// Of the prefix: where it comes from.
        var source: UInt32
    }

    /// Which prefix speaks when one does not: the next around it, or one that is equal.
    struct Outer {
        var source: UInt32
        var outer: UInt32
        var length: UInt8
    }

    private var added: [Run] = []

    mutating func reserve(_ count: Int) {
        added.reserveCapacity(count)
    }

    /// - Parameter start: the first address; bits behind `length` are 0.
    mutating func add(_ start: Key, length: UInt8, source: UInt32) {
        added.append(Run(start: start, length: length, source: source))
    }

    /// The last address of a run's prefix.
    private static func last(_ run: Run) -> Key {
        // A shift by all bits gives 0.
        run.start | ~0 >> Key(truncatingIfNeeded: Int(run.length))
    }

    /// The runs by start, how many different prefixes they stand for, and for each source what speaks after it. Of equal
    /// prefixes the lowest source speaks first.
    consuming func finish() -> (runs: [Run], prefixes: Int, outers: [Outer]) {
        var records = added
        added = []
        records.sort {
            $0.start != $1.start
                ? $0.start < $1.start : $0.length != $1.length ? $0.length < $1.length : $0.source < $1.source
        }
        var runs: [Run] = []
        runs.reserveCapacity(records.count)
        // `tail`: the last source of the equal prefixes.
        var open: [(last: Key, run: Run, tail: UInt32)] = []
        var outers: [Outer] = []
        var prefixes = 0
        var previous: Run?
        func emit(_ run: Run) {
            if let last = runs.indices.last, runs[last].start == run.start {
                runs[last] = run
            } else {
                runs.append(run)
            }
        }
        func close() {
            guard let inner = open.popLast(), let outer = open.last else { return }
            outers.append(Outer(source: inner.tail, outer: outer.run.source, length: outer.run.length))
            guard inner.last < outer.last else { return }
            emit(Run(start: inner.last + 1, length: outer.run.length, source: outer.run.source))
        }
        for record in records {
            if let previous, previous.start == record.start, previous.length == record.length {
                let top = open.count - 1
                guard open[top].tail != record.source else { continue }
                outers.append(Outer(source: open[top].tail, outer: record.source, length: record.length))
                open[top].tail = record.source
                continue
            }
            previous = record
            prefixes += 1
            while let inner = open.last, inner.last < record.start { close() }
            emit(record)
            open.append((PrefixRuns.last(record), record, record.source))
        }
        while !open.isEmpty { close() }
        return (runs, prefixes, outers)
    }
}
