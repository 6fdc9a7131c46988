import Kernel
import Wire

/// Whose queries or flows a compiled rule speaks of, as integers.
struct OwnerCondition: Equatable {
    static let anybody = Int64(-1)

    /// The user's number, or `anybody`.
    var uid = OwnerCondition.anybody
    /// `Owner.hash` of the program's path or name, 0: every program.
    var path: UInt64 = 0
    var name: UInt64 = 0

    init(_ owner: RuleOwner) {
        if let number = owner.uid { uid = Int64(number) }
        guard let app = owner.app else { return }
        if app.hasPrefix("/") { path = Owner.hash(of: app) } else { name = Owner.hash(of: app) }
    }

    var isEmpty: Bool { uid == OwnerCondition.anybody && path == 0 && name == 0 }

    /// An owner that is not known fits no condition.
    @inline(__always)
    func holds(_ owner: Owner) -> Bool {
        (path == 0 || path == owner.path) && (name == 0 || name == owner.name)
            && (uid == OwnerCondition.anybody || owner.uid != -1 && uid == Int64(UInt32(bitPattern: owner.uid)))
    }

    /// How much the condition says: programs before users, a path before a name.
    var rank: Int {
        (path != 0 ? 4 : name != 0 ? 2 : 0) + (uid != OwnerCondition.anybody ? 1 : 0)
    }
}

/// The user's rules on flows in one block of memory, the first to be asked first. Immutable; any thread.
@safe
final class FlowRuleSet: Sendable {
    /// One rule.
    fileprivate struct Entry {
        var high: UInt64
        var low: UInt64
        var maskHigh: UInt64
        var maskLow: UInt64
        var owner: OwnerCondition
        /// 0: both families.
        var family: UInt8
        var hasPorts: Bool
        var firstPort: UInt16
        var lastPort: UInt16
        /// -1: every protocol.
        var proto: Int16
        /// The name in wire form: its place and its bytes, 0 for none.
        var namePlace: Int32
        var nameCount: Int32
        var isExact: Bool
        var labels: UInt8
        var allow: Bool
        var rule: Int32
        var groups: GroupSet
    }

    let view: View
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer

    init(_ rules: [FlowRule]) {
        let sorted = rules.sorted(by: FlowRuleSet.isBefore)
        var names: [UInt8] = []
        let namesAt = sorted.count * MemoryLayout<Entry>.stride
        let entries = sorted.map { rule in
            let wire = rule.conditions.name.map { FlowRuleSet.wire($0) } ?? []
            defer { names += wire }
            return FlowRuleSet.entry(rule, namePlace: namesAt + names.count, nameCount: wire.count)
        }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, namesAt + names.count), alignment: 16)
        for (index, entry) in entries.enumerated() {
            unsafe (memory + index * MemoryLayout<Entry>.stride).storeBytes(of: entry, as: Entry.self)
        }
        unsafe names.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            unsafe (memory + namesAt).copyMemory(from: start, byteCount: bytes.count)
        }
        unsafe self.memory = unsafe memory
        view = unsafe View(
            memory, count: entries.count, needsOwner: entries.contains { !$0.owner.isEmpty },
            needsName: entries.contains { $0.nameCount > 0 })
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// Wire form of a stored name.
    private static func wire(_ name: String) -> [UInt8] {
        name.utf8.split(separator: NameBytes.dot).flatMap { [UInt8($0.count)] + Array($0) } + [0]
    }

    private static func entry(_ rule: FlowRule, namePlace: Int, nameCount: Int) -> Entry {
        let conditions = rule.conditions
        let mask = conditions.remote.map { IPPrefix.mask(length: $0.length, isIPv6: $0.address.isIPv6) }
        return Entry(
            high: conditions.remote?.address.high ?? 0, low: conditions.remote?.address.low ?? 0,
            maskHigh: mask?.high ?? 0,
            maskLow: mask?.low ?? 0, owner: OwnerCondition(conditions.owner),
            family: conditions.remote.map { $0.address.isIPv6 ? 6 : 4 } ?? 0, hasPorts: conditions.ports != nil,
            firstPort: conditions.ports?.lowerBound ?? 0, lastPort: conditions.ports?.upperBound ?? .max,
            proto: conditions.proto.map { Int16($0) } ?? -1, namePlace: Int32(namePlace), nameCount: Int32(nameCount),
            isExact: conditions.isExact, labels: UInt8(labels(conditions)), allow: rule.action == .allow, rule: rule.id,
            groups: rule.groups)
    }

    /// The order of precedence: what says more comes first, by program and user, name, address, port, protocol; of equals
    /// the allowing rule, then the older one.
    static func isBefore(_ left: FlowRule, _ right: FlowRule) -> Bool {
        let (a, b) = (precedence(left), precedence(right))
        for (one, other) in zip(a, b) where one != other { return one > other }
        return left.id < right.id
    }

    /// Of the name.
    private static func labels(_ conditions: FlowConditions) -> Int {
        conditions.name.map { $0.utf8.count { $0 == NameBytes.dot } + 1 } ?? 0
    }

    private static func precedence(_ rule: FlowRule) -> [Int] {
        let conditions = rule.conditions
        return [
            OwnerCondition(conditions.owner).rank, labels(conditions) * 2 + (conditions.isExact ? 1 : 0),
            conditions.remote.map { $0.length + 1 } ?? 0, conditions.ports.map { 65_537 - $0.count } ?? 0,
            conditions.proto == nil ? 0 : 1, rule.action == .allow ? 1 : 0,
        ]
    }

    /// The rules' memory, borrowed.
    @safe
    struct View: @unchecked Sendable {
        private let memory: UnsafeRawPointer
        let count: Int
        /// Whether any rule speaks of a program or a user, or of a name.
        let needsOwner: Bool
        let needsName: Bool

        fileprivate init(_ memory: UnsafeRawPointer, count: Int, needsOwner: Bool, needsName: Bool) {
            unsafe self.memory = unsafe memory
            self.count = count
            self.needsOwner = needsOwner
            self.needsName = needsName
        }

        /// The first rule that speaks of a flow; nil for none. Linear in the rules; does not allocate.
        ///
        /// - Parameters:
        ///   - name: wire form in lower case; nil while it may still be found: where it could change the outcome the
        ///     verdict is `peek`.
        ///   - groups: those in force; rules of no other count.
        func match(
            _ remote: IPAddress, _ port: UInt16, _ proto: UInt8, _ name: RawSpan?, _ owner: Owner, _ groups: GroupSet
        )
            -> FlowVerdict?
        {
            // A name could still forbid the flow; that does not matter when something else forbids it anyway.
            var mayBeForbidden = false
            for index in 0..<count {
                let entry = unsafe (memory + index * MemoryLayout<Entry>.stride).load(as: Entry.self)
                guard !entry.groups.isDisjoint(with: groups), entry.proto < 0 || entry.proto == Int16(proto),
                    !entry.hasPorts || View.hasPorts(proto) && entry.firstPort <= port && port <= entry.lastPort,
                    entry.family == 0 || (entry.family == 6) == remote.isIPv6,
                    remote.high & entry.maskHigh == entry.high, remote.low & entry.maskLow == entry.low,
                    entry.owner.holds(owner)
                else { continue }
                if entry.nameCount > 0 {
                    guard let name else {
                        if entry.allow { return .peek }
                        mayBeForbidden = true
                        continue
                    }
                    guard covers(entry, name) else { continue }
                }
                if mayBeForbidden, entry.allow { return .peek }
                return FlowVerdict(action: entry.allow ? .allow : .drop, reason: .flow, list: 0, rule: entry.rule)
            }
            return mayBeForbidden ? .peek : nil
        }

        /// The first rule that speaks of a query's name and owner; nil for none.
        func match(query name: RawSpan, _ owner: Owner, _ groups: GroupSet) -> Verdict? {
            for index in 0..<count {
                let entry = unsafe (memory + index * MemoryLayout<Entry>.stride).load(as: Entry.self)
                guard !entry.groups.isDisjoint(with: groups), entry.owner.holds(owner),
                    entry.nameCount == 0 || covers(entry, name)
                else { continue }
                return Verdict(
                    action: entry.allow ? .allow : .block, match: entry.isExact ? .exact : .suffix, list: 0,
                    rule: entry.rule, labels: entry.labels)
            }
            return nil
        }

        /// Whether a denying rule speaks of a name, whatever else it asks for.
        func denies(_ name: RawSpan) -> Bool {
            guard needsName else { return false }
            for index in 0..<count {
                let entry = unsafe (memory + index * MemoryLayout<Entry>.stride).load(as: Entry.self)
                if !entry.allow, entry.nameCount > 0, covers(entry, name) { return true }
            }
            return false
        }

        /// TCP, UDP, DCCP, SCTP and UDP-Lite have ports.
        @inline(__always)
        static func hasPorts(_ proto: UInt8) -> Bool {
            proto == 6 || proto == 17 || proto == 33 || proto == 132 || proto == 136
        }

        @inline(__always)
        private func covers(_ entry: Entry, _ name: RawSpan) -> Bool {
            let count = Int(entry.nameCount)
            let surplus = name.byteCount - count
            guard surplus >= 0, surplus == 0 || !entry.isExact else { return false }
            // A suffix begins where a label begins.
            var at = 0
            while at < surplus { at += Int(name.u8(at)) + 1 }
            guard at == surplus else { return false }
            let wanted = unsafe UnsafeRawBufferPointer(start: memory + Int(entry.namePlace), count: count)
            return unsafe name.from(surplus).matches(wanted.bytes)
        }
    }
}
