import Glibc
import Synchronization

/// Progress of long work, drawn on standard error when that is a terminal and not at all otherwise.
///
/// ```swift
/// let bar = ProgressBar("importing ads.txt", total: bytes, unit: .bytes)
/// bar.update(done)          // as often as you like, redrawn ten times a second
/// bar.finish()              // erases the line; print your summary after it
/// ```
/// Any thread.
final class ProgressBar: Sendable {
    enum Unit: Sendable {
        case bytes
        case items(String)
    }

    private struct State {
        var total: Int64?
        var drawn: Int64 = 0
        var visible = false
        var finished = false
    }

    private let label: String
    private let unit: Unit
    private let enabled: Bool
    private let start: Int64
    private let state: Mutex<State>

    /// - Parameters:
    ///   - total: in `unit`; nil when it is not known, then rate and count are shown without a bar.
    ///   - enabled: for tests; by default whether standard error is a terminal.
    init(_ label: String, total: Int64?, unit: Unit, enabled: Bool = Terminal.isTerminal(STDERR_FILENO)) {
        self.label = label.printable
        self.unit = unit
        self.enabled = enabled
        start = ProgressBar.now()
        state = Mutex(State(total: total))
    }

    /// Tells how much is done so far, and a new total when it has become known.
    func update(_ done: Int64, total: Int64? = nil) {
        guard enabled else { return }
        state.withLock { state in
            if let total { state.total = total }
            let now = ProgressBar.now()
            // Short work draws nothing: the first line appears after 200 ms.
            guard !state.finished, now - start > 200_000, now - state.drawn > 100_000 else { return }
            state.drawn = now
            state.visible = true
            let line = ProgressBar.line(
                label: label, done: done, total: state.total, unit: unit, elapsed: Double(now - start) / 1e6,
                width: Terminal.columns(STDERR_FILENO) ?? 80, unicode: Terminal.drawsUnicode, style: .error)
            ProgressBar.write("\r\(line)\u{1b}[K")
        }
    }

    /// Erases the bar. Later updates draw nothing.
    func finish() {
        state.withLock { state in
            state.finished = true
            if state.visible { ProgressBar.write("\r\u{1b}[K") }
            state.visible = false
        }
    }

    deinit {
        finish()
    }

    /// One drawing of the bar in at most `width` - 1 cells.
    static func line(
        label: String, done: Int64, total: Int64?, unit: Unit, elapsed: Double, width: Int, unicode: Bool, style: Style
    ) -> String {
        let rate = elapsed > 0 ? Double(done) / elapsed : 0
        var facts = amount(done, unit)
        var bar = ""
        if let total, total > 0 {
            let share = min(1, max(0, Double(done) / Double(total)))
            facts = "\(Int(share * 100)) %  \(facts) of \(amount(total, unit, named: true))"
            if share > 0.01 && share < 1 { facts += "  \(duration(elapsed / share - elapsed)) left" }
            let room = min(40, width - 1 - label.columns - facts.columns - 4)
            if room >= 8 {
                let filled = Int(share * Double(room))
                bar =
                    style.paint(String(repeating: unicode ? "█" : "#", count: filled), .green)
                    + style.paint(String(repeating: unicode ? "─" : ".", count: room - filled), .dim)
                return "\(label)  \(bar)  \(facts)"
            }
        } else {
            facts = "\(amount(done, unit, named: true))  \(amount(Int64(rate), unit))/s"
        }
        return "\(label)  \(facts)".clipped(to: max(1, width - 1))
    }

    private static func amount(_ value: Int64, _ unit: Unit, named: Bool = false) -> String {
        switch unit {
        case .bytes: Quantity.bytes(value)
        case .items(let name): Quantity.count(value) + (named ? " " + name : "")
        }
    }

    private static func duration(_ seconds: Double) -> String {
        seconds < 90 ? "\(Int(seconds.rounded(.up))) s" : "\(Int((seconds / 60).rounded(.up))) min"
    }

    /// Microseconds of the monotonic clock.
    private static func now() -> Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    private static func write(_ text: String) {
        var text = text
        text.withUTF8 { bytes in
            _ = unsafe Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count)
        }
    }
}
