/// How many terminal cells text takes, and cutting it to fit.
extension String {
    /// Cells of the text on a terminal: 0 for combining marks, 2 for wide characters, 1 for the rest.
    var columns: Int {
        utf8.allSatisfy { $0 < 0x80 } ? utf8.count : reduce(0) { $0 + $1.columns }
    }

    /// The text in at most `limit` cells; the last one is "…" when something was cut off.
    func clipped(to limit: Int) -> String {
        guard columns > limit else { return self }
        guard limit > 0 else { return "" }
        var kept = ""
        var used = 0
        for character in self {
            let width = character.columns
            if used + width > limit - 1 { break }
            kept.append(character)
            used += width
        }
        return kept + "…"
    }

    /// The text with control characters (C0, DEL, C1) written as `\xHH`: what a stranger wrote cannot move the cursor
    /// or change the terminal's state.
    var printable: String {
        guard unicodeScalars.contains(where: \.isControl) else { return self }
        var safe = ""
        for scalar in unicodeScalars {
            guard scalar.isControl else {
                safe.unicodeScalars.append(scalar)
                continue
            }
            let digits = String(scalar.value, radix: 16)
            safe += "\\x" + (digits.utf8.count < 2 ? "0" + digits : digits)
        }
        return safe
    }
}

extension Character {
    var columns: Int {
        guard let first = unicodeScalars.first else { return 0 }
        if first.isASCII { return 1 }
        if first.properties.generalCategory == .nonspacingMark || first.properties.generalCategory == .enclosingMark
            || first.properties.generalCategory == .format
        {
            return 0
        }
        return first.isWide || unicodeScalars.contains("\u{fe0f}") ? 2 : 1
    }
}

extension Unicode.Scalar {
    var isControl: Bool { value < 0x20 || (0x7f...0x9f).contains(value) }

    /// The blocks whose characters are Wide or Fullwidth (UAX #11).
    var isWide: Bool {
        switch value {
        case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xa960...0xa97f, 0xac00...0xd7a3, 0xf900...0xfaff,
            0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f680...0x1f6ff,
            0x1f900...0x1f9ff, 0x20000...0x3fffd:
            true
        default:
            false
        }
    }
}
