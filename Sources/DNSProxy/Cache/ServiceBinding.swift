import Wire

/// The data of an SVCB or HTTPS record (RFC 9460 section 2.2): priority, target, and parameters in ascending order of keys.
struct ServiceBinding {
    static let svcb: UInt16 = 64
    static let https: UInt16 = 65

    /// Parameter keys (RFC 9460 section 14.3.2; `ech`: IANA, Service Parameter Keys).
    private enum Key {
        static let mandatory: UInt16 = 0
        static let ipv4hint: UInt16 = 4
        static let ech: UInt16 = 5
        static let ipv6hint: UInt16 = 6
    }

    /// 0: the record is an alias for the target.
    let priority: UInt16
    /// In lower case; the root: the record's owner.
    let target: Name
    /// Where the parameters begin.
    private let parameters: Int

    /// - Returns: nil when the data is cut or its target is not a name.
    init?(_ data: RawSpan) {
        guard data.byteCount >= 3 else { return nil }
        priority = data.u16(0)
        var name = Name()
        let end = name.parse(data, at: 2)
        guard end > 0 else { return nil }
        target = name
        parameters = end
    }

    /// The data without the parameters `ech`, `ipv4hint` and `ipv6hint`, which `mandatory` no longer names either. Broken
    /// parameters are left out from the first broken one on.
    func stripped(_ data: RawSpan) -> [UInt8] {
        var result: [UInt8] = []
        result.append(contentsOf: (0..<parameters).map { data.u8($0) })
        var at = parameters
        while at + 4 <= data.byteCount {
            let key = data.u16(at)
            let end = at + 4 + Int(data.u16(at + 2))
            guard end <= data.byteCount else { break }
            if key == Key.mandatory {
                let kept = stride(from: at + 4, to: end - 1, by: 2).filter { !ServiceBinding.tells(data.u16($0)) }
                if !kept.isEmpty {
                    let count = UInt16(kept.count * 2)
                    result += [0, 0, UInt8(count >> 8), UInt8(truncatingIfNeeded: count)]
                    for place in kept { result += [data.u8(place), data.u8(place + 1)] }
                }
            } else if !ServiceBinding.tells(key) {
                result.append(contentsOf: (at..<end).map { data.u8($0) })
            }
            at = end
        }
        return result
    }

    private static func tells(_ key: UInt16) -> Bool {
        key == Key.ech || key == Key.ipv4hint || key == Key.ipv6hint
    }
}
