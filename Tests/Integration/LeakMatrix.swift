import Foundation

/// Every way a query can leave the machine, and what became of it.
struct LeakMatrix {
    enum Way: String, CaseIterable {
        case plain = "plain"
        case connected = "connected"
        case source = "bound to a source address"
        case unicastInterface = "`IP_UNICAST_IF`, `IPV6_UNICAST_IF`"
        case device = "`SO_BINDTODEVICE`"
        case masked = "container behind masquerade"
        case served = "container behind a served bridge"
        case stub = "systemd-resolved's stub"
    }

    struct Cell: Hashable {
        let capture: String
        let reversePath: Int
        let way: Way
        let six: Bool
        let tcp: Bool
    }

    enum Outcome: Equatable, CustomStringConvertible {
        case pass
        /// The blocked name was seen on the far side, or its real address came back.
        case leak(String)
        /// Nothing left, but an answer is missing or not the right one.
        case wrong(String)

        var description: String {
            switch self {
            case .pass: "pass"
            case .leak(let why): "leak: \(why)"
            case .wrong(let why): "wrong: \(why)"
            }
        }
        var isLeak: Bool { if case .leak = self { true } else { false } }
        var word: String {
            switch self {
            case .pass: "pass"
            case .leak: "**leaks**"
            case .wrong: "**wrong**"
            }
        }
    }

    private(set) var outcomes: [Cell: Outcome] = [:]

    /// What the back end promises: `link` holds every query; `route` cannot hold UDP that names its link, because the
    /// kernel then looks the route up for that link and a rule that leads to another one does not match it. (A TCP socket
    /// ignores `IP_UNICAST_IF`, and so is held.)
    static func isPromised(_ cell: Cell) -> Bool {
        guard cell.capture == "route" else { return true }
        switch cell.way {
        case .device: return false
        case .unicastInterface: return cell.tcp
        default: return true
        }
    }

    /// Try every way with one back end and one setting of rp_filter, in a world of its own.
    mutating func fill(capture: String, reversePath: Int) async throws {
        let cells = try await Lab.with { lab in
            let world = try await Internet.open(in: lab)
            let host = world.machine
            var settings: [String: String] = [:]
            for link in ["all", "default", "eth0", "br0", "cont0"] {
                settings["net.ipv4.conf.\(link).rp_filter"] = "\(reversePath)"
            }
            try await host.sysctl(settings)
            let webtun = try await Webtun.prepare(on: host)
            _ = try await Resolved.start(on: host, name: "v4", servers: [Internet.resolverV4], stub: true)
            _ = try await Resolved.start(
                on: host, name: "v6", servers: [Internet.resolverV6], stub: false, extra: ["::1"])
            _ = try await webtun.start(capture: capture, serve: ["br0"])
            var cells: [Cell: Outcome] = [:]
            for way in Way.allCases {
                for six in [false, true] {
                    for tcp in [false, true] {
                        let cell = Cell(capture: capture, reversePath: reversePath, way: way, six: six, tcp: tcp)
                        cells[cell] = try await Self.judge(cell, in: world, label: "c\(cells.count)")
                    }
                }
            }
            return cells
        }
        outcomes.merge(cells) { _, new in new }
    }

    private static func judge(_ cell: Cell, in world: Internet, label: String) async throws -> Outcome {
        let blocked = "\(label).blocked.example"
        let allowed = "\(label).allowed.example"
        let type = cell.six ? "AAAA" : "A"
        func ask(_ name: String) async throws -> Probe.Reply {
            let server = cell.six ? Internet.resolverV6 : Internet.resolverV4
            let source = cell.six ? Internet.machineV6 : Internet.machineV4
            var host = world.machine
            var target = server
            var options: [String] = []
            switch cell.way {
            case .plain, .connected: options = ["--way", cell.way.rawValue]
            case .source: options = ["--way", "source", "--source", source]
            case .unicastInterface: options = ["--way", "unicast-if", "--link", "eth0"]
            case .device: options = ["--way", "device", "--link", "eth0"]
            case .masked: host = world.masked
            case .served: host = world.served
            case .stub: target = cell.six ? "::1" : "127.0.0.53"
            }
            return try await Probe.ask(host, server: target, name, type, tcp: cell.tcp, timeout: 1500, options: options)
        }
        let blockedReply = try await ask(blocked)
        let allowedReply = try await ask(allowed)
        // The allowed name crosses the link after the blocked one: once it has been seen, the other would have been.
        let seen = await world.capture.waits(for: allowed, within: 2)
        if world.capture.holds(name: blocked) { return .leak("\(blocked) left the machine") }
        if blockedReply.answer == [cell.six ? Internet.escapedV6 : Internet.escapedV4] {
            return .leak("\(blockedReply)")
        }
        guard seen else { return .wrong("the capture never saw \(allowed): \(allowedReply)") }
        guard blockedReply.answer == [cell.six ? "::" : "0.0.0.0"] else { return .wrong("\(blocked): \(blockedReply)") }
        guard allowedReply.answer == [cell.six ? Internet.forwardedV6 : Internet.forwardedV4] else {
            return .wrong("\(allowed): \(allowedReply)")
        }
        return .pass
    }

    /// The table of docs/capture.md.
    var markdown: String {
        var text =
            "| `--capture` | query is sent | IPv4 UDP | IPv4 TCP | IPv6 UDP | IPv6 TCP |\n|---|---|---|---|---|---|\n"
        for capture in ["link", "route"] {
            for way in Way.allCases {
                var columns: [String] = []
                for six in [false, true] {
                    for tcp in [false, true] {
                        let words = (0...2).map { reversePath in
                            outcomes[
                                Cell(capture: capture, reversePath: reversePath, way: way, six: six, tcp: tcp)]?.word
                                ?? "–"
                        }
                        // One word when the three settings of rp_filter agree.
                        columns.append(Set(words).count == 1 ? words[0] : words.joined(separator: " / "))
                    }
                }
                text += "| `\(capture)` | \(way.rawValue) | \(columns.joined(separator: " | ")) |\n"
            }
        }
        return text
    }
}

/// A part of a page of docs/ that a test writes: the lines between two comments.
struct MarkedSection {
    let path: String
    let name: String
    private var begin: String { "<!-- \(name): begin -->\n" }
    private var end: String { "<!-- \(name): end -->" }

    var text: String? {
        guard let page = try? String(contentsOfFile: path, encoding: .utf8), let from = page.range(of: begin),
            let to = page.range(of: end, range: from.upperBound..<page.endIndex)
        else { return nil }
        return String(page[from.upperBound..<to.lowerBound])
    }

    /// Replace the section, or add it with a heading when the page has none.
    func write(_ text: String, heading: String) throws {
        var page = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        if let from = page.range(of: begin), let to = page.range(of: end, range: from.upperBound..<page.endIndex) {
            page.replaceSubrange(from.upperBound..<to.lowerBound, with: text)
        } else {
            page += "\n## \(heading)\n\n\(begin)\(text)\(end)\n"
        }
        try page.write(toFile: path, atomically: true, encoding: .utf8)
    }
}
