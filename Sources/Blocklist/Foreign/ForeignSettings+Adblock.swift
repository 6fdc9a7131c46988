extension ForeignSettings {
    /// Adds what a line of the adblock syntax says, when rules can say it. In a line without `||` the name stands for
    /// itself alone.
    public mutating func add(adblock line: String, place: String) {
        let text = line.drop { $0 == " " || $0 == "\t" }
        let isException = text.hasPrefix("@@")
        let body = isException ? text.dropFirst(2) : text
        if body.hasPrefix("/"), body.dropFirst().last == "/" {
            add(.init(isException ? .allow : .deny, .regex, String(body.dropFirst().dropLast())), place: place)
            return
        }
        var sink = AdblockSink()
        var parser = AdblockParser()
        parser.parse(Array(text.utf8).span, into: &sink)
        for (name, kind) in sink.names {
            guard !kind.contains(.below) else {
                left.append(Left(place: place, text: line, reason: "a rule cannot speak of the names below alone"))
                continue
            }
            let isExact = kind.contains(.exact) || !body.hasPrefix("||")
            add(.init(kind.contains(.allow) ? .allow : .deny, isExact ? .exact : .suffix, name), place: place)
        }
        for (pattern, kind) in sink.patterns {
            add(.init(kind.contains(.allow) ? .allow : .deny, .regex, pattern), place: place)
        }
        for problem in sink.problems {
            left.append(Left(place: place, text: line, reason: "\(problem)"))
        }
    }
}

/// What a line of the adblock syntax holds.
private struct AdblockSink: LineSink {
    var names: [(name: String, kind: EntryKind)] = []
    var patterns: [(text: String, kind: EntryKind)] = []
    var problems: [LineProblem] = []

    /// Rules of the user have no local data.
    var takesRecords: Bool { false }

    mutating func entry(_ name: borrowing NameText, _ kind: EntryKind, _ options: String?) {
        if let options { return problems.append(.option("your rules cannot have '\(options)'")) }
        names.append((name.string, kind))
    }

    mutating func pattern(_ text: String, _ kind: EntryKind, _ options: String?) {
        if let options { return problems.append(.option("your rules cannot have '\(options)'")) }
        patterns.append((text, kind))
    }

    mutating func address(_ prefix: IPPrefix, _ kind: EntryKind) {
        problems.append(.name(.address))
    }

    mutating func skip() {}

    mutating func refuse(_ problem: LineProblem) {
        problems.append(problem)
    }
}
