import ArgumentParser
import Blocklist

/// Things that exist, by name, and that a command changes all or none.
protocol NamedThings: ParsableArguments {
    /// What stands before their names in what is printed, such as `group `.
    static var noun: String { get }
    var names: [String] { get }
    var global: GlobalOptions { get }

    /// What follows a change.
    static func settle(_ store: BlocklistStore) throws
}

extension NamedThings {
    static func settle(_ store: BlocklistStore) throws {}

    /// Changes them and says what was done to each.
    func change(_ done: String, _ body: (BlocklistStore, [String]) throws -> Void) throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        try body(store, names)
        try Self.settle(store)
        for name in names { print("\(done) \(Self.noun)'\(name.printable)'") }
    }
}

struct ListNames: NamedThings {
    static let noun = ""

    @Argument(help: ArgumentHelp("Lists, by name or id.", valueName: "list"))
    var names: [String]
    @OptionGroup var global: GlobalOptions

    /// Brings the index up to the lists.
    static func settle(_ store: BlocklistStore) throws {
        try ListWork.compile(store)
    }
}

struct GroupNames: NamedThings {
    static let noun = "group "

    @Argument(help: ArgumentHelp("Groups.", valueName: "group"))
    var names: [String]
    @OptionGroup var global: GlobalOptions
}
