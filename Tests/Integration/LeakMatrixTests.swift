import Foundation
import Testing

/// No query of a captured machine leaves it unfiltered, whatever the family, the protocol, the way its socket is bound, who
/// sends it and how strict the kernel is about reverse paths.
@Suite(.serialized) struct LeakMatrixTests {
    @Test func noBlockedNameLeavesTheMachine() async throws {
        var matrix = LeakMatrix()
        for capture in ["link", "route"] {
            for reversePath in 0...2 { try await matrix.fill(capture: capture, reversePath: reversePath) }
        }
        #expect(matrix.outcomes.count == 2 * 3 * 2 * 2 * LeakMatrix.Way.allCases.count)
        for (cell, outcome) in matrix.outcomes {
            let label =
                "\(cell.capture) rp_filter=\(cell.reversePath) \(cell.way) IPv\(cell.six ? 6 : 4) \(cell.tcp ? "TCP" : "UDP")"
            if LeakMatrix.isPromised(cell) {
                #expect(outcome == .pass, "\(label): \(outcome)")
            } else {
                // `route` lets queries that name their link escape. Should that change, the page must say so.
                #expect(outcome.isLeak, "\(label) was expected to leak: \(outcome)")
            }
        }
        let section = MarkedSection(path: Paths.root + "/docs/capture.md", name: "leak matrix")
        if ProcessInfo.processInfo.environment["WEBTUN_WRITE_MATRIX"] != nil {
            try section.write(matrix.markdown, heading: "The leak matrix")
        }
        #expect(section.text == matrix.markdown, "docs/capture.md is not what was measured: run `make matrix`")
    }

    /// The judge itself: without webtun every cell leaks, so a pass is not an accident of the lab.
    @Test func withoutWebtunTheNamesAreSeen() async throws {
        try await Lab.with { lab in
            let world = try await Internet.open(in: lab)
            let reply = try await Probe.ask(world.machine, server: Internet.resolverV4, "judge.blocked.example")
            #expect(reply.answer == [Internet.escapedV4])
            #expect(await world.capture.waits(for: "judge.blocked.example"))
            let mixed = try await Probe.ask(world.machine, server: Internet.resolverV4, "JuDgE2.BlOcKeD.ExAmPlE")
            #expect(mixed.answer == [Internet.escapedV4])
            #expect(await world.capture.waits(for: "judge2.blocked.example"))
        }
    }
}
