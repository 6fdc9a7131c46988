// swift-tools-version: 6.2

import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

func room(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: testing)
}

/// Tests may use unsafe pointers freely; everything else is as strict as the sources.
let testing: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
]

let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let sqlite: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let toml: Target.Dependency = .product(name: "TOMLKit", package: "TOMLKit")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")

let package = Package(
    name: "webtun",
    products: [
        .executable(name: "webtun", targets: ["webtun"]),
        // For the packages in Fuzz and Benchmarks.
        .library(
            name: "WebtunRooms",
            targets: ["PacketTunnel", "DNSProxy", "ContentFilter", "Blocklist", "QueryLog", "Kernel", "Wire"]),
    ],
    dependencies: [
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .executableTarget(name: "webtun", dependencies: ["Commands"], swiftSettings: strict),
        room("Commands", ["Daemon", "DNSProxy", "Blocklist", "QueryLog", "Kernel", "Wire", arguments, logging, yams]),
        room(
            "Daemon",
            [
                "PacketTunnel", "DNSProxy", "ContentFilter", "Blocklist", "QueryLog", "Export", "Kernel", "Wire",
                "CTunnel", toml, logging, signals,
            ]),
        room("PacketTunnel", ["Kernel", "CTunnel", "CBPF", "Wire"]),
        room("DNSProxy", ["Blocklist", "Kernel", "CLDNS", "Wire"]),
        room("ContentFilter", ["Blocklist", "Kernel", "CNettle", "Wire"]),
        room("Blocklist", ["Kernel", "Wire", "CFetch", "CLDNS", "CNettle", "CZlib", grdb, sqlite]),
        room("QueryLog", ["Kernel", "Wire", grdb, sqlite]),
        room("Export", ["QueryLog", "Kernel", "Wire"]),
        room("Kernel", ["CKernel", "Wire"]),
        room("Wire", []),
        .target(name: "CKernel"),
        .target(
            name: "CFetch", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])],
            linkerSettings: [.linkedLibrary("curl"), .linkedLibrary("z")]),
        .target(name: "CTunnel", exclude: ["bpf"], cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]),
        .systemLibrary(name: "CLDNS", pkgConfig: "ldns", providers: [.apt(["libldns-dev"])]),
        .systemLibrary(name: "CBPF", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CNettle", pkgConfig: "nettle", providers: [.apt(["nettle-dev"])]),
        .target(name: "TestPackets", path: "Tests/TestPackets", swiftSettings: testing),
        .target(name: "CAllocations", path: "Tests/CAllocations"),
        tests("KernelTests", ["Kernel"]),
        tests(
            "FuzzTests",
            ["PacketTunnel", "DNSProxy", "ContentFilter", "Blocklist", "Kernel", "Wire", "CLDNS", "TestPackets"]),
        tests("WireTests", ["Wire", "CLDNS", "CAllocations", "TestPackets"]),
        tests("DNSProxyTests", ["DNSProxy", "Blocklist", "Kernel", "Wire", "CLDNS", "CAllocations", "TestPackets"]),
        .testTarget(
            name: "ContentFilterTests",
            dependencies: ["ContentFilter", "Blocklist", "Kernel", "Wire", "CNettle", "CAllocations", "TestPackets"],
            exclude: ["Golden"], swiftSettings: testing),
        tests("BlocklistTests", ["Blocklist", "Kernel", "Wire", "CLDNS", "CAllocations", grdb]),
        tests("QueryLogTests", ["QueryLog", "Kernel", "Wire", "CAllocations", sqlite]),
        tests("ExportTests", ["Export", "QueryLog", "Kernel", "Wire", "CAllocations"]),
        tests(
            "PacketTunnelTests",
            [
                "PacketTunnel", "ContentFilter", "DNSProxy", "Kernel", "CTunnel", "CBPF", "Wire", "CAllocations",
                "TestPackets",
            ]),
        tests("DaemonTests", ["Daemon", "Blocklist", "Export", "Kernel", "Wire", "CAllocations", logging]),
        tests("CommandsTests", ["Commands", "Daemon", "QueryLog", "Wire"]),
        .testTarget(
            name: "Integration", dependencies: [subprocess], path: "Tests/Integration", exclude: ["probe", "hold"],
            swiftSettings: testing),
    ],
    swiftLanguageModes: [.v6]
)
