/// Numbers for people.
enum Quantity {
    /// `1234567` as `1,234,567`.
    static func count(_ value: some BinaryInteger) -> String {
        let digits = Array(String(value.magnitude).utf8)
        var text = value < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { text.append(",") }
            text.unicodeScalars.append(Unicode.Scalar(digit))
        }
        return text
    }

    /// Bytes with the unit that leaves at most four digits: `812 B`, `4.1 MiB`.
    static func bytes(_ value: Int64) -> String {
        guard value >= 1024 else { return "\(value) B" }
        var size = Double(value)
        for unit in ["KiB", "MiB", "GiB", "TiB"] {
            size /= 1024
            if size < 1024 || unit == "TiB" { return "\(decimal(size, size < 10 ? 1 : 0)) \(unit)" }
        }
        return "\(value) B"
    }

    /// A share of 0…1 as `12.3 %`.
    static func percent(_ share: Double) -> String {
        "\(decimal(share * 100, 1)) %"
    }

    /// Microseconds as `85 µs`, `1.2 ms`, `3.40 s`.
    static func latency(_ microseconds: Int64) -> String {
        switch microseconds {
        case ..<1000: "\(microseconds) µs"
        case ..<1_000_000: "\(decimal(Double(microseconds) / 1000, 1)) ms"
        default: "\(decimal(Double(microseconds) / 1_000_000, 2)) s"
        }
    }

    /// `value` with `places` decimals, rounded half away from zero.
    static func decimal(_ value: Double, _ places: Int) -> String {
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = Int64((value.magnitude * scale).rounded())
        let whole = scaled / Int64(scale)
        guard places > 0 else { return (value < 0 ? "-" : "") + "\(whole)" }
        let fraction = String(scaled % Int64(scale))
        let padding = String(repeating: "0", count: places - fraction.utf8.count)
        return (value < 0 ? "-" : "") + "\(whole).\(padding)\(fraction)"
    }
}
