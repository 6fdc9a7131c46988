import Wire

/// What the classes of an index say of a query besides its name, made ready when the index is loaded. Immutable; any thread.
///
/// Layout: a number for each class (u32; 0: it has no options), then a record of 32 bytes for each number from 1, then types
/// (u16 each), the names of `denyallow` (a length byte and the text) and record sets.
@safe
final class ClassOptions: Sendable {
    let view: View
    /// How many classes have options.
    let count: Int
    /// Whether some class rewrites.
    let hasRewrites: Bool
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer

    /// A record.
    fileprivate struct Record {
        var answer: Verdict.Answer = .configured
        var isRewrite = false
        /// Of an exception: every rewrite is taken back.
        var isOfEveryAnswer = false
        /// The options are none that an import writes: the class speaks of no query.
        var isUnknown = false
        /// The answer's number among the different answers.
        var answerNumber: Int32 = 0
        var types = Place()
        var excepted = Place()
        var denyallow = Place()
        var records = Place()
    }

    /// Where something is, and how many or how many bytes.
    fileprivate struct Place {
        var at: UInt32 = 0
        var count: UInt32 = 0
    }

    /// - Parameters:
    ///   - classes: of the index.
    ///   - options: class numbers and options in the canonical text of `EntryOptions`.
    init(classes: Int, options: [(number: Int, text: String)]) {
        var numbers = [UInt32](repeating: 0, count: classes)
        var records: [Record] = []
        var data: [UInt8] = []
        var answers: [String: Int32] = [:]
        let recordsAt = (classes * 4 + 15) & ~15
        let dataAt = recordsAt + options.count * MemoryLayout<Record>.stride
        func put(_ bytes: [UInt8], _ count: Int) -> Place {
            if data.count % 2 != 0 { data.append(0) }
            let place = Place(at: UInt32(dataAt + data.count), count: UInt32(count))
            data += bytes
            return place
        }
        func put(_ types: [UInt16]) -> Place {
            put(types.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }, types.count)
        }
        for (number, text) in options where number < classes {
            var record = Record()
            if let parsed = EntryOptions(text: text), let answer = ClassOptions.answer(parsed) {
                record.answer = answer.answer
                record.isRewrite = parsed.isRewrite
                record.isOfEveryAnswer = parsed.isRewrite && parsed.answer == nil
                record.types = put(parsed.types)
                record.excepted = put(parsed.exceptedTypes)
                record.denyallow = put(
                    parsed.denyallow.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }, parsed.denyallow.count)
                record.records = put(answer.records, answer.records.count)
                let key = parsed.answer?.text ?? ""
                record.answerNumber = answers[key] ?? Int32(answers.count)
                answers[key] = record.answerNumber
            } else {
                record.isUnknown = true
            }
            records.append(record)
            numbers[number] = UInt32(records.count)
        }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(16, dataAt + data.count), alignment: 16)
        for (index, number) in numbers.enumerated() {
            unsafe memory.storeBytes(of: number, toByteOffset: index * 4, as: UInt32.self)
        }
        for (index, record) in records.enumerated() {
            unsafe memory.storeBytes(
                of: record, toByteOffset: recordsAt + index * MemoryLayout<Record>.stride, as: Record.self)
        }
        unsafe data.withUnsafeBytes {
            if $0.count > 0 { unsafe (memory + dataAt).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        }
        unsafe self.memory = unsafe memory
        count = records.count
        hasRewrites = records.contains { $0.isRewrite }
        view = unsafe View(memory, classes: classes, recordsAt: recordsAt)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// An answer as a verdict has it, with its records; nil when they are no records.
    private static func answer(_ options: EntryOptions) -> (answer: Verdict.Answer, records: [UInt8])? {
        switch options.answer {
        case nil: return (.configured, [])
        case .nxdomain: return (.nxdomain, [])
        case .nodata: return (.nodata, [])
        case .refused: return (.refused, [])
        case .servfail: return (.servfail, [])
        case .drop: return (.drop, [])
        case .truncate: return (.truncate, [])
        case .records(let text):
            var set = RecordSet()
            for line in text.split(separator: "\n") {
                // A TTL is a number, a type is none.
                let line = line.first?.isNumber == true ? "\(line)" : "\(EntryOptions.defaultTTL) \(line)"
                guard let record = try? RecordText.parse(line: ". " + line, ttl: EntryOptions.defaultTTL).record,
                    (try? set.append(record)) != nil
                else { return nil }
            }
            return set.isEmpty ? nil : (.records, set.bytes)
        }
    }

    /// The options' memory, borrowed.
    @safe
    struct View: @unchecked Sendable {
        private let base: UnsafeRawPointer
        private let classes: Int
        private let recordsAt: Int

        fileprivate init(_ base: UnsafeRawPointer, classes: Int, recordsAt: Int) {
            unsafe self.base = unsafe base
            self.classes = classes
            self.recordsAt = recordsAt
        }

        private func record(_ number: Int) -> ClassOptions.Record? {
            guard number >= 0 && number < classes else { return nil }
            let index = unsafe Int(base.load(fromByteOffset: number * 4, as: UInt32.self))
            guard index > 0 else { return nil }
            return unsafe base.load(
                fromByteOffset: recordsAt + (index - 1) * MemoryLayout<ClassOptions.Record>.stride,
                as: ClassOptions.Record.self)
        }

        /// Whether a class speaks of a query. One without options speaks of every one, one with options that are not
        /// understood of none.
        ///
        /// - Parameters:
        ///   - number: of the class.
        ///   - qtype: 0 when the verdict is for no query: then classes of certain types and those that give data do not count.
        func applies(_ number: Int, qtype: UInt16, _ query: QueryText) -> Bool {
            guard let record = record(number) else { return true }
            if record.isUnknown { return false }
            if qtype == 0 {
                if record.types.count + record.excepted.count > 0 { return false }
                if record.answer == .records || record.answer == .truncate { return false }
            }
            if holds(record.excepted, qtype) { return false }
            if record.types.count > 0 && !holds(record.types, qtype) { return false }
            return record.denyallow.count == 0 || !isBelow(record.denyallow, query)
        }

        /// Whether a class is a `$dnsrewrite`, or an exception of one.
        func isRewrite(_ number: Int) -> Bool { record(number)?.isRewrite ?? false }

        /// Whether an exception takes back a rewrite.
        func takesBack(_ exception: Int, _ rewrite: Int) -> Bool {
            guard let one = record(exception), let other = record(rewrite) else { return false }
            return one.isOfEveryAnswer || one.answerNumber == other.answerNumber
        }

        /// How a query is answered that a class blocks.
        func answer(_ number: Int) -> Verdict.Answer { record(number)?.answer ?? .configured }

        /// The record set of a class whose answer is `.records`.
        @_lifetime(borrow self)
        func records(_ number: Int) -> RawSpan {
            guard let place = record(number)?.records, place.count > 0 else { return RawSpan() }
            let span = unsafe RawSpan(_unsafeStart: base + Int(place.at), byteCount: Int(place.count))
            return unsafe _overrideLifetime(span, borrowing: self)
        }

        private func holds(_ place: ClassOptions.Place, _ qtype: UInt16) -> Bool {
            var index = 0
            while index < Int(place.count) {
                let type = unsafe base.load(fromByteOffset: Int(place.at) + index * 2, as: UInt16.self)
                if type == qtype { return true }
                index += 1
            }
            return false
        }

        /// Whether a query's name is one of some names, or below one.
        private func isBelow(_ place: ClassOptions.Place, _ query: QueryText) -> Bool {
            var at = Int(place.at)
            var left = Int(place.count)
            while left > 0 {
                left -= 1
                let length = unsafe Int(base.load(fromByteOffset: at, as: UInt8.self))
                if unsafe query.isBelow(base + at + 1, length) { return true }
                at += 1 + length
            }
            return false
        }
    }
}
