import Glibc

/// Colours for one output stream: escape sequences (ECMA-48, "Select Graphic Rendition") when the stream is a terminal
/// and the user did not set `NO_COLOR`, plain text otherwise.
///
/// A value; any thread.
struct Style: Sendable {
    /// What a piece of text may look like. Raw values are the parameters of the SGR sequence.
    enum Ink: String, Sendable {
        case bold = "1"
        case dim = "2"
        case red = "31"
        case green = "32"
        case yellow = "33"
        case blue = "34"
        case magenta = "35"
        case cyan = "36"
    }

    let enabled: Bool

    /// The styles of standard output and standard error as they are now.
    static var output: Style { Style(descriptor: STDOUT_FILENO) }
    static var error: Style { Style(descriptor: STDERR_FILENO) }
    static let plain = Style(enabled: false)

    init(enabled: Bool) {
        self.enabled = enabled
    }

    /// Colours when `descriptor` is a terminal that knows them: `NO_COLOR` unset or empty (the convention of
    /// no-color.org) and `TERM` not `dumb`.
    init(descriptor: Int32) {
        enabled =
            Terminal.isTerminal(descriptor)
            && (Terminal.environment("NO_COLOR") ?? "").isEmpty
            && Terminal.environment("TERM") != "dumb"
    }

    /// `text` between the sequences of `ink`; unchanged when colours are off, `ink` is nil or the text is empty.
    func paint(_ text: String, _ ink: Ink?) -> String {
        guard enabled, let ink, !text.isEmpty else { return text }
        return "\u{1b}[\(ink.rawValue)m\(text)\u{1b}[0m"
    }
}

/// What the process can ask of the terminal it talks to.
enum Terminal {
    static func isTerminal(_ descriptor: Int32) -> Bool {
        isatty(descriptor) == 1
    }

    /// Columns of the terminal behind `descriptor` at this moment, so a caller that asks before every line follows a
    /// resize; nil when it is no terminal (then nothing is cut).
    static func columns(_ descriptor: Int32 = STDOUT_FILENO) -> Int? {
        var size = winsize()
        guard unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    static func environment(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

    /// Whether characters beyond ASCII may be drawn: the locale's codeset, as the C library chooses it
    /// (`LC_ALL`, then `LC_CTYPE`, then `LANG`).
    static var drawsUnicode: Bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap(environment).first { !$0.isEmpty } ?? ""
        let codeset = locale.uppercased()
        return codeset.contains("UTF-8") || codeset.contains("UTF8")
    }

    /// Sends what `print` has buffered, so that a reader of a pipe or a terminal sees it now.
    static func flush() {
        _ = fflush(nil)
    }
}
