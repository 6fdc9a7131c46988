import Glibc

/// Users of the machine by name and number (passwd(5), or whatever the machine asks).
enum UserNames {
    /// The number of a user given by name or number.
    ///
    /// - Throws: `BlocklistError.badArgument` when there is no such user.
    static func number(_ text: String) throws(BlocklistError) -> UInt32 {
        if !text.isEmpty, text.utf8.allSatisfy({ $0 &- 0x30 < 10 }) {
            // The highest number means "no user" to the kernel.
            guard let number = UInt32(text), number != .max else { throw .badArgument("'\(text)' is no user's number") }
            return number
        }
        var record = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        var room = [CChar](repeating: 0, count: 16_384)
        let code = unsafe getpwnam_r(text, &record, &room, room.count, &found)
        guard code == 0, unsafe found != nil else { throw .badArgument("there is no user '\(text)' on this machine") }
        return unsafe record.pw_uid
    }
}
