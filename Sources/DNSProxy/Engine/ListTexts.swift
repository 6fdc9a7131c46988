import Blocklist
import Wire

/// The names of lists as bytes, for extended errors. A list's name is fetched when it blocks for the first time, so that
/// a blocked answer needs no `String`.
struct ListTexts {
    /// A place in `bytes`.
    struct Place {
        var list: Int32
        var offset: Int32
        var count: Int32
    }

    private static let capacity = 4096
    private var bytes = [UInt8](repeating: 0, count: ListTexts.capacity)
    private var used = 0
    private var places: [Place] = []

    init() {
        places.reserveCapacity(64)
    }

    /// The text's place; an empty one when there is no room.
    mutating func place(of list: Int32, in policy: PolicySnapshot) -> Place {
        var index = 0
        while index < places.count {
            if places[index].list == list { return places[index] }
            index += 1
        }
        let name = list == 0 ? "a rule of yours" : policy.listName(list) ?? ""
        let text = Array("blocked by \(name)".utf8.prefix(120))
        guard places.count < 64, used + text.count <= ListTexts.capacity else {
            return Place(list: list, offset: 0, count: 0)
        }
        for (index, byte) in text.enumerated() { bytes[used + index] = byte }
        let place = Place(list: list, offset: Int32(used), count: Int32(text.count))
        used += text.count
        places.append(place)
        return place
    }

    @_lifetime(borrow self)
    func text(_ place: Place) -> RawSpan {
        unsafe bytes.span.bytes.part(Int(place.offset), Int(place.count))
    }
}
