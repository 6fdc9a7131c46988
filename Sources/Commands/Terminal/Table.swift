import Glibc

/// Rows in aligned columns. On a terminal every line fits its width: columns that may be cut give up cells, the widest
/// first. In a pipe or a file nothing is cut.
///
/// ```swift
/// var table = Table([.init("LIST", elastic: true), .init("NAMES", .right)])
/// table.append(["starter", Cell("52", .green)])
/// table.print()
/// ```
/// Numbers stand right, text left. Control characters in cells are written as `\xHH`. A value; any thread.
struct Table: Sendable {
    enum Alignment: Sendable { case left, right }

    struct Column: Sendable {
        var title: String
        var alignment: Alignment
        /// Whether the column may be cut when the terminal is narrow, and to how many cells at least.
        var elastic: Bool
        var minimum: Int

        init(_ title: String, _ alignment: Alignment = .left, elastic: Bool = false, minimum: Int = 8) {
            self.title = title
            self.alignment = alignment
            self.elastic = elastic
            self.minimum = minimum
        }
    }

    struct Cell: Sendable, ExpressibleByStringInterpolation {
        var text: String
        var ink: Style.Ink?

        init(_ text: String, _ ink: Style.Ink? = nil) {
            self.text = text.printable
            self.ink = ink
        }

        init(stringLiteral text: String) {
            self.init(text)
        }
    }

    let columns: [Column]
    private(set) var rows: [[Cell]] = []
    /// The widest cell of each column so far, titles included.
    private(set) var natural: [Int]

    init(_ columns: [Column]) {
        self.columns = columns
        natural = columns.map(\.title.columns)
    }

    /// Adds a row; missing cells are empty.
    mutating func append(_ cells: [Cell]) {
        precondition(cells.count <= columns.count, "more cells than columns")
        for (index, cell) in cells.enumerated() { natural[index] = max(natural[index], cell.text.columns) }
        rows.append(cells)
    }

    /// Makes columns at least so many cells wide, for rows that come later.
    mutating func reserve(_ widths: [Int]) {
        for (index, width) in widths.prefix(columns.count).enumerated() { natural[index] = max(natural[index], width) }
    }

    /// Forgets the rows but not the widths, for output that goes on and stays aligned.
    mutating func removeRows() {
        rows.removeAll(keepingCapacity: true)
    }

    /// Column widths for a line of `width` cells (nil: unlimited), two spaces between columns.
    func widths(fitting width: Int?) -> [Int] {
        guard let width else { return natural }
        var widths = natural
        var excess = widths.reduce(0, +) + 2 * max(0, columns.count - 1) - width
        while excess > 0 {
            let candidates = columns.indices.filter {
                columns[$0].elastic && widths[$0] > max(1, columns[$0].minimum)
            }
            guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { break }
            widths[widest] -= 1
            excess -= 1
        }
        return widths
    }

    /// The title line.
    func header(_ widths: [Int], style: Style) -> String {
        line(columns.map { Cell($0.title, .bold) }, widths, style: style)
    }

    /// One line of cells, without trailing spaces.
    func line(_ cells: [Cell], _ widths: [Int], style: Style) -> String {
        var line = ""
        var owed = 0
        for (index, cell) in cells.enumerated() {
            let text = cell.text.clipped(to: widths[index])
            let padding = widths[index] - text.columns
            if columns[index].alignment == .right { owed += padding }
            if !text.isEmpty {
                line += String(repeating: " ", count: owed) + style.paint(text, cell.ink)
                owed = 0
            }
            owed += (columns[index].alignment == .left ? padding : 0) + 2
        }
        return line
    }

    /// The whole table, a newline after every line.
    func rendered(width: Int?, style: Style, header: Bool = true) -> String {
        let widths = widths(fitting: width)
        var text = header ? self.header(widths, style: style) + "\n" : ""
        for row in rows { text += line(row, widths, style: style) + "\n" }
        return text
    }

    /// Writes the table to standard output, fitted and coloured for what that is.
    func print(header: Bool = true) {
        Swift.print(rendered(width: Terminal.columns(), style: .output, header: header), terminator: "")
    }
}

/// A table that is printed as its rows come: the titles once, columns that only grow.
struct GrowingTable {
    private var table: Table
    private var hasTitles = false

    init(_ columns: [Table.Column]) {
        table = Table(columns)
    }

    /// Makes columns at least so many cells wide.
    mutating func reserve(_ widths: [Int]) {
        table.reserve(widths)
    }

    /// Adds a row; of many some are printed at once.
    mutating func append(_ cells: [Table.Cell]) {
        table.append(cells)
        if table.rows.count >= 1000 {
            flush()
            Terminal.flush()
        }
    }

    /// Prints what was added.
    mutating func flush() {
        guard !table.rows.isEmpty else { return }
        table.print(header: !hasTitles)
        hasTitles = true
        table.removeRows()
    }
}
