public import Kernel

/// Who a verdict is for. Integers only.
public struct Asker: Sendable, Hashable {
    /// The program and user; one that is not known fits no rule for a program or user.
    public var owner: Owner
    /// Which lists and rules are in force, by the number that `PolicySnapshot.profile` gave. A number means something to
    /// the snapshot that gave it and to no other.
    public var profile: UInt16

    @inlinable
    public init(owner: Owner = .unknown, profile: UInt16 = 0) {
        self.owner = owner
        self.profile = profile
    }

    /// Nobody in particular: no program, no user, and what is in force for whoever is in no group.
    @inlinable public static var everybody: Asker { Asker() }
}
