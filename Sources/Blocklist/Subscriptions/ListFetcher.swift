import CFetch
import Glibc
import Kernel

/// Fetches lists by HTTP with libcurl, and unpacks those that are packed.
///
/// libcurl, because its sockets can be marked (`SO_MARK`) before they connect, so that an update is not caught by the
/// filter it updates; for the same reason names of hosts are asked of `resolve`. Blocking, cold; any thread.
public struct ListFetcher: Sendable {
    /// Addresses of a host as text. An empty answer leaves it to the system's resolver.
    public typealias Resolver = @Sendable (_ host: String) -> [String]

    /// The most bytes of a list, packed and unpacked.
    public var limit: Int64 = 512 << 20
    /// The most seconds for one request.
    public var seconds: Int64 = 600
    /// `SO_MARK`; 0: none.
    public var mark: UInt32
    /// A file of certificate authorities; nil: the system's.
    public var authorities: String?
    private let resolve: Resolver

    /// By default as a program of its own does it: no mark, the system's resolver, `SSL_CERT_FILE` as OpenSSL has it.
    public init(mark: UInt32 = 0, resolve: @escaping Resolver = { _ in [] }) {
        self.mark = mark
        self.resolve = resolve
        authorities = unsafe getenv("SSL_CERT_FILE").map { unsafe String(cString: $0) }
    }

    /// What a server calls the version that it gave.
    struct Version: Equatable {
        var etag: String?
        var modified: String?
    }

    enum Outcome: Equatable {
        case unchanged
        /// The list stands in the file asked for, unpacked.
        case fetched(Version)
    }

    private static let redirects = 10

    /// Fetches a list into a new file, following redirects.
    ///
    /// - Parameters:
    ///   - known: the version at hand; when the server has no other, nothing is fetched.
    ///   - path: replaced when it exists; removed when fetching fails.
    /// - Throws: `BlocklistError.listRefused` with the reason.
    func fetch(
        _ url: ListURL, known: Version?, to path: String, progress: ProgressHandler
    ) throws(BlocklistError) -> Outcome {
        do throws(BlocklistError) {
            var at = url
            for _ in 0...ListFetcher.redirects {
                let file = try ListFetcher.create(path)
                let reply = try request(at, known: known, file.number, progress)
                switch reply.status {
                case 200:
                    // Packed for the way, and packed before that.
                    if reply.isPacked { try unpack(path) }
                    if ListFetcher.isPacked(path) { try unpack(path) }
                    return .fetched(reply.version)
                case 304 where known != nil:
                    _ = unsafe unlink(path)
                    return .unchanged
                case 301, 302, 303, 307, 308:
                    at = try follow(reply.location, from: at)
                default:
                    throw .listRefused(at.text, "the server answered \(reply.status)")
                }
            }
            throw .listRefused(url.text, "more than \(ListFetcher.redirects) redirects")
        } catch {
            _ = unsafe unlink(path)
            throw error
        }
    }

    private func follow(_ location: String, from url: ListURL) throws(BlocklistError) -> ListURL {
        guard !location.isEmpty, let next = try? ListURL(location, relativeTo: url) else {
            throw .listRefused(url.text, "a redirect to nowhere ('\(location)')")
        }
        guard next.isSecure || !url.isSecure else {
            throw .listRefused(url.text, "a redirect from https to \(next), which could be forged")
        }
        return next
    }

    private static func create(_ path: String) throws(BlocklistError) -> Descriptor {
        let number = unsafe open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard number >= 0 else { throw .system("create \(path)", "\(Errno.current())") }
        return Descriptor(owning: number)
    }

    // MARK: One request

    fileprivate struct Reply {
        var status: Int
        var version: Version
        var location: String
        var isPacked: Bool
    }

    private func request(
        _ url: ListURL, known: Version?, _ file: CInt, _ progress: ProgressHandler
    ) throws(BlocklistError) -> Reply {
        let addresses = resolve(url.host)
        let resolved =
            addresses.isEmpty
            ? nil : "\(url.host):\(url.port):\(addresses.map(ListFetcher.bracketed).joined(separator: ","))"
        var reply = cfetch_reply()
        let result = withoutActuallyEscaping(progress) { progress in
            let context = Progress(handler: progress)
            return withExtendedLifetime(context) {
                unsafe ListFetcher.withTexts([
                    url.text, resolved, known?.etag, known?.modified, authorities, "webtun",
                ]) { texts in
                    var request = unsafe cfetch_request()
                    unsafe request.url = texts[0]
                    unsafe request.resolve = texts[1]
                    unsafe request.etag = texts[2]
                    unsafe request.modified = texts[3]
                    unsafe request.authorities = texts[4]
                    unsafe request.agent = texts[5]
                    unsafe request.mark = mark
                    unsafe request.limit = limit
                    unsafe request.seconds = seconds
                    unsafe request.file = file
                    unsafe request.context = Unmanaged.passUnretained(context).toOpaque()
                    unsafe request.progress = { context, done, total in
                        let progress = unsafe Unmanaged<Progress>.fromOpaque(context!).takeUnretainedValue()
                        progress.handler(WorkProgress(phase: .fetching, done: done, total: total))
                        return 0
                    }
                    return unsafe cfetch(&request, &reply)
                }
            }
        }
        guard result == 0 else {
            let reason = unsafe withUnsafeBytes(of: reply.error) { unsafe String(terminated: $0) }
            throw .listRefused(url.text, reason)
        }
        return Reply(reply)
    }

    private final class Progress {
        let handler: ProgressHandler

        init(handler: @escaping ProgressHandler) {
            self.handler = handler
        }
    }

    private static func bracketed(_ address: String) -> String {
        address.contains(":") ? "[\(address)]" : address
    }

    private static func withTexts<R>(
        _ texts: [String?], _ body: ([UnsafePointer<CChar>?]) -> R
    ) -> R {
        let copies = unsafe texts.map { text in unsafe text.map { unsafe strdup($0)! } }
        defer { unsafe copies.forEach { unsafe free($0) } }
        return unsafe body(copies.map { unsafe $0.map { unsafe UnsafePointer($0) } })
    }

    // MARK: Unpacking

    /// Whether a file begins as gzip does (RFC 1952 section 2.3.1).
    private static func isPacked(_ path: String) -> Bool {
        let file = unsafe Descriptor(owning: open(path, O_RDONLY | O_CLOEXEC))
        var head = [UInt8](repeating: 0, count: 2)
        let count = unsafe head.withUnsafeMutableBytes { unsafe file.read(into: $0) }
        return count == 2 && head == [0x1F, 0x8B]
    }

    private func unpack(_ path: String) throws(BlocklistError) {
        let packed = path + ".gz"
        guard unsafe rename(path, packed) == 0 else { throw .system("rename \(path)", "\(Errno.current())") }
        defer { _ = unsafe unlink(packed) }
        let from = unsafe Descriptor(owning: open(packed, O_RDONLY | O_CLOEXEC))
        let to = try ListFetcher.create(path)
        let result = cfetch_gunzip(from.number, to.number, limit)
        switch -result {
        case 0: return
        case EBADMSG: throw .listRefused(path, "packed with gzip, and cut or damaged")
        case EFBIG: throw .listRefused(path, "unpacked larger than \(limit) bytes")
        default: throw .listRefused(path, "cannot be unpacked: \(Errno(-result))")
        }
    }
}

extension ListFetcher.Reply {
    fileprivate init(_ reply: cfetch_reply) {
        func text<T>(_ field: T) -> String { unsafe withUnsafeBytes(of: field) { unsafe String(terminated: $0) } }
        let etag = text(reply.etag)
        let modified = text(reply.modified)
        status = reply.status
        version = .init(etag: etag.isEmpty ? nil : etag, modified: modified.isEmpty ? nil : modified)
        location = text(reply.location)
        let encoding = text(reply.encoding).lowercased()
        isPacked = encoding == "gzip" || encoding == "x-gzip"
    }
}
