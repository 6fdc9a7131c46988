// swift-tools-version: 6.2

// Coverage-guided fuzzing with the toolchain's libFuzzer and AddressSanitizer. The rooms are the main package's own
// sources, linked into `Sources`; `Fuzz/run` builds and starts it all.

import PackageDescription

let fuzzed: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    .unsafeFlags(["-sanitize=address,fuzzer", "-enable-testing"]),
]
/// libFuzzer's archive without a `main` of its own, found by `Fuzz/run`.
let runtime = Context.environment["FUZZ_RUNTIME"] ?? ""

func room(_ name: String, _ dependencies: [Target.Dependency], sources: [String]? = nil) -> Target {
    .target(name: name, dependencies: dependencies, sources: sources, swiftSettings: fuzzed)
}

let package = Package(
    name: "fuzz",
    dependencies: [.package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0")],
    targets: [
        .executableTarget(
            name: "fuzz", dependencies: ["FuzzTargets"], swiftSettings: [.swiftLanguageMode(.v6)],
            linkerSettings: [.unsafeFlags([runtime, "-lstdc++", "-sanitize=address"])]),
        room("FuzzTargets", ["PacketTunnel", "DNSProxy", "ContentFilter", "Blocklist", "Kernel", "Wire", "CLDNS"]),
        room("PacketTunnel", ["Kernel", "Wire"], sources: ["StreamFlows.swift", "StreamRedirect.swift"]),
        room("DNSProxy", ["Blocklist", "Kernel", "CLDNS", "Wire"]),
        room("ContentFilter", ["Blocklist", "Kernel", "CNettle", "Wire"]),
        room(
            "Blocklist",
            [
                "Kernel", "Wire", "CFetch", "CLDNS", "CNettle", "CZlib", .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ]),
        room("Kernel", ["CKernel", "Wire"]),
        room("Wire", []),
        .target(name: "CFetch", linkerSettings: [.linkedLibrary("curl"), .linkedLibrary("z")]),
        .target(name: "CKernel", cSettings: [.unsafeFlags(["-fsanitize=address"])]),
        .systemLibrary(name: "CLDNS", pkgConfig: "ldns", providers: [.apt(["libldns-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CNettle", pkgConfig: "nettle", providers: [.apt(["nettle-dev"])]),
    ],
    swiftLanguageModes: [.v6]
)
