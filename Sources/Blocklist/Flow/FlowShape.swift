import Kernel
import Wire

/// What a rule on flows has conditions on: which prefix length, which facts of the owner, and so on. Rules of one shape are
/// found under one key, made of just these parts of a flow.
struct FlowShape: Hashable {
    /// The rules that are looked for together, a number for each.
    struct Part: Hashable {
        let number: UInt16

        /// Rules without a name.
        static let unnamed = Part(number: 0)
        /// Rules with a name of so many labels, 1 to 127.
        static func named(_ labels: Int) -> Part { Part(number: UInt16(truncatingIfNeeded: labels)) }
        /// Rules with a name, by their other conditions: while the name of a flow is not known.
        static func anyName(allow: Bool) -> Part { Part(number: allow ? 128 : 129) }
        /// Denying rules by nothing but the name, of so many labels.
        static func denied(_ labels: Int) -> Part { Part(number: 129 + UInt16(truncatingIfNeeded: labels)) }

        static let count = 257
    }

    static let noPorts: UInt8 = 255

    var part: Part
    var owner: OwnerCondition.Parts = []
    var isExact = false
    /// 0: no address.
    var family: UInt8 = 0
    /// Bits of the prefix.
    var length: UInt8 = 0
    /// Of the port the lower bits that do not count, 0 to 16, or `noPorts`.
    var portShift = noPorts
    var hasProto = false

    /// A shape ready to make keys.
    struct Compiled {
        let shape: FlowShape
        /// The first of its rules.
        let first: UInt32
        private let salt: UInt64
        private let maskHigh: UInt64
        private let maskLow: UInt64

        init(_ shape: FlowShape, first: Int, seed: UInt64) {
            self.shape = shape
            self.first = UInt32(first)
            let mask = shape.family == 0 ? (0, 0) : IPPrefix.mask(length: Int(shape.length), isIPv6: shape.family == 6)
            (maskHigh, maskLow) = mask
            var salt = seed
            for value in [
                UInt64(shape.part.number), UInt64(shape.owner.rawValue), shape.isExact ? 1 : 0, UInt64(shape.family),
                UInt64(shape.length), UInt64(shape.portShift), shape.hasProto ? 1 : 0,
            ] {
                salt = Compiled.fold(salt, value)
            }
            self.salt = salt
        }

        /// Whether a flow can have a key of this shape.
        @inline(__always)
        func fits(_ facts: FlowFacts, isWhole: Bool) -> Bool {
            (shape.family == 0 || (shape.family == 6) == facts.remote.isIPv6) && (isWhole || !shape.isExact)
                && (shape.portShift == FlowShape.noPorts || FlowFacts.hasPorts(facts.proto))
        }

        /// The key of a flow: rules under another key do not speak of it.
        ///
        /// - Parameter name: the hash of the suffix of its name, 0 for none.
        @inline(__always)
        func key(_ facts: FlowFacts, name: UInt64) -> UInt64 {
            var key = Compiled.fold(salt, name)
            if shape.owner.contains(.path) { key = Compiled.fold(key, facts.owner.path) }
            if shape.owner.contains(.name) { key = Compiled.fold(key, facts.owner.name) }
            if shape.owner.contains(.user) { key = Compiled.fold(key, UInt64(UInt32(bitPattern: facts.owner.uid))) }
            if shape.family == 6 { key = Compiled.fold(key, facts.remote.high & maskHigh) }
            if shape.family != 0 { key = Compiled.fold(key, facts.remote.low & maskLow) }
            if shape.portShift != FlowShape.noPorts {
                key = Compiled.fold(key, UInt64(facts.port) >> UInt64(shape.portShift))
            }
            if shape.hasProto { key = Compiled.fold(key, UInt64(facts.proto)) }
            return key
        }

        @inline(__always)
        private static func fold(_ key: UInt64, _ value: UInt64) -> UInt64 {
            let product = (key ^ value &* 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
            return product.high ^ product.low
        }
    }
}

/// Ports that agree in all but their last `shift` bits.
struct PortBlock: Equatable {
    var first: UInt16
    var shift: UInt8

    /// The fewest blocks that are together a range, at most 30.
    static func blocks(of ports: ClosedRange<UInt16>) -> [PortBlock] {
        var blocks: [PortBlock] = []
        var (low, end, shift) = (Int(ports.lowerBound), Int(ports.upperBound) + 1, UInt8(0))
        while low < end {
            if low & 1 != 0 {
                blocks.append(PortBlock(first: UInt16(low << Int(shift)), shift: shift))
                low += 1
            }
            if end & 1 != 0 {
                end -= 1
                blocks.append(PortBlock(first: UInt16(end << Int(shift)), shift: shift))
            }
            (low, end, shift) = (low >> 1, end >> 1, shift + 1)
        }
        return blocks
    }
}
