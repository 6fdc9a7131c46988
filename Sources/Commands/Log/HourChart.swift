import QueryLog

/// Queries over time as bars, the blocked part of each in red: a bar an hour, or a bar a day when that would be more than
/// two days of hours.
struct HourChart {
    private struct Bar {
        var label: String
        var queries = 0
        var blocked = 0
    }

    private var bars: [Bar] = []

    init(_ hours: [LogStatistics.Hour]) {
        if hours.count <= 49 {
            bars = hours.map { Bar(label: LocalTime.hour($0.start) + "h", queries: $0.queries, blocked: $0.blocked) }
        } else {
            for hour in hours {
                let day = LocalTime.day(hour.start)
                if bars.last?.label != day { bars.append(Bar(label: day)) }
                bars[bars.count - 1].queries += hour.queries
                bars[bars.count - 1].blocked += hour.blocked
            }
        }
        // Nothing before the first query.
        bars.removeFirst(bars.firstIndex { $0.queries > 0 } ?? bars.count)
    }

    /// The lines, in at most `width` cells.
    func lines(width: Int, unicode: Bool, style: Style) -> [String] {
        guard let most = bars.map(\.queries).max(), most > 0 else { return [] }
        let numbers = bars.map { Quantity.count($0.queries) }
        let room = max(
            10, min(100, width - 3 - (bars.map(\.label.columns).max() ?? 0) - (numbers.map(\.columns).max() ?? 0)))
        let block = unicode ? "█" : "#"
        return zip(bars, numbers).map { bar, number in
            let full = bar.queries == 0 ? 0 : max(1, bar.queries * room / most)
            let red = bar.queries == 0 ? 0 : bar.blocked * full / bar.queries
            return bar.label + " " + style.paint(String(repeating: block, count: red), .red)
                + style.paint(String(repeating: block, count: full - red), .green) + (full > 0 ? " " : "") + number
        }
    }

    func print() {
        let width = Terminal.columns() ?? 80
        for line in lines(width: width, unicode: Terminal.drawsUnicode, style: .output) { Swift.print(line) }
    }
}
