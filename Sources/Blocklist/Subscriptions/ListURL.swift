import CFetch

/// The address of a list on the web: http or https. Cold; any thread.
public struct ListURL: Sendable, Equatable, CustomStringConvertible {
    public let text: String
    /// Without brackets.
    public let host: String
    public let port: UInt16
    public let isSecure: Bool

    public var description: String { text }

    /// Whether a source is meant to be an address and not a file.
    public static func looksLike(_ source: String) -> Bool { source.contains("://") }

    /// - Parameter base: what `text` is relative to, when it is.
    /// - Throws: `BlocklistError.badArgument` for what is no address, or of another scheme.
    public init(_ text: String, relativeTo base: ListURL? = nil) throws(BlocklistError) {
        var parts = cfetch_url()
        let failed = unsafe base.withText { base in unsafe cfetch_url(base, text, &parts) != 0 }
        guard !failed else { throw .badArgument("'\(text)' is no address of a list") }
        let scheme = unsafe withUnsafeBytes(of: parts.scheme) { unsafe String(terminated: $0) }
        guard scheme == "http" || scheme == "https" else {
            throw .badArgument("'\(text)': lists are fetched by http and https, not by \(scheme)")
        }
        isSecure = scheme == "https"
        let host = unsafe withUnsafeBytes(of: parts.host) { unsafe String(terminated: $0) }
        self.host = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        port = UInt16(unsafe withUnsafeBytes(of: parts.port) { unsafe String(terminated: $0) }) ?? 0
        self.text = unsafe withUnsafeBytes(of: parts.whole) { unsafe String(terminated: $0) }
    }

    /// What a list from here is called when nobody says otherwise: the last part of the path without its endings, or the
    /// host.
    var title: String {
        let path = text.split(separator: "?")[0].split(separator: "/").dropFirst(2)
        let file = path.last.map { $0.split(separator: ".", omittingEmptySubsequences: false)[0] } ?? ""
        return file.isEmpty ? host : String(file)
    }
}

extension ListURL? {
    fileprivate func withText<R>(_ body: (UnsafePointer<CChar>?) -> R) -> R {
        guard let self else { return body(nil) }
        return unsafe self.text.withCString { unsafe body($0) }
    }
}

extension String {
    /// The text up to the first zero byte.
    init(terminated bytes: UnsafeRawBufferPointer) {
        unsafe self.init(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
