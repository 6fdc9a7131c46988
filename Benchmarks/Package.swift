// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "benchmarks",
    dependencies: [.package(name: "webtun", path: "..")],
    targets: [
        .executableTarget(
            name: "hotpath", dependencies: [.product(name: "WebtunRooms", package: "webtun")],
            swiftSettings: [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]),
        .executableTarget(
            name: "logday", dependencies: [.product(name: "WebtunRooms", package: "webtun")],
            swiftSettings: [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]),
        .executableTarget(
            name: "logask", dependencies: [.product(name: "WebtunRooms", package: "webtun")],
            swiftSettings: [.swiftLanguageMode(.v6)]),
        .executableTarget(
            name: "lists", dependencies: [.product(name: "WebtunRooms", package: "webtun")],
            swiftSettings: [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]),
        .executableTarget(
            name: "patterns", dependencies: [.product(name: "WebtunRooms", package: "webtun")],
            swiftSettings: [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]),
        .executableTarget(
            name: "logfill", dependencies: [.product(name: "WebtunRooms", package: "webtun")],
            swiftSettings: [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]),
    ]
)
