import Foundation

/// Internationalised names to A-labels: UTS 46, non-transitional, as in RFC 5891's lookup. Foundation does the work,
/// with ICU's tables.
enum IDNA {
    /// - Parameter name: UTF-8; its ASCII bytes are letters, digits, `-`, `_` and `.` only.
    static func ascii(_ name: [UInt8]) -> Result<[UInt8], NameProblem> {
        guard let text = String(validating: name, as: UTF8.self) else { return .failure(.notUTF8) }
        guard name.count <= 1024 else { return .failure(.tooLong) }
        guard let host = URLComponents(string: "http://" + text + "/")?.encodedHost, !host.isEmpty else {
            return .failure(.notIDN)
        }
        return .success(Array(host.utf8))
    }
}
