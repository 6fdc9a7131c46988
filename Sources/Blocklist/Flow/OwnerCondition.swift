import Kernel

/// Whose queries or flows a compiled rule speaks of, as integers.
struct OwnerCondition: Hashable {
    /// Which of an owner's facts a condition is about.
    struct Parts: OptionSet, Hashable {
        let rawValue: UInt8
        static let path = Parts(rawValue: 1)
        static let name = Parts(rawValue: 2)
        static let user = Parts(rawValue: 4)
    }

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

    var parts: Parts {
        var parts: Parts = []
        if path != 0 { parts.insert(.path) }
        if name != 0 { parts.insert(.name) }
        if uid != OwnerCondition.anybody { parts.insert(.user) }
        return parts
    }

    /// An owner that the condition holds for.
    var example: Owner {
        Owner(uid: Int32(truncatingIfNeeded: uid), path: path, name: name)
    }
}
