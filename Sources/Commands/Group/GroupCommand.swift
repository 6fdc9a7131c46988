import ArgumentParser
import Blocklist

/// `webtun group`
struct GroupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group",
        abstract: "Lists and rules for some clients, users and programs, at some times.",
        discussion: """
            Lists, rules and flow rules belong to groups; clients, users and programs are assigned to groups with 'webtun
            client'. What belongs to no other group, and who is assigned to none, is in the group 'default'. For whoever is
            assigned to groups those hold and no others: name 'default' too where it is to hold as well. A running webtun
            follows changes within a second.

            Examples:
              webtun group add kids
              webtun list add games.txt --group kids
              webtun deny videos.example --group kids
              webtun client add 192.0.2.7 --group kids --group default
              webtun group schedule kids --days mon-fri --from 21:00 --to 07:00
              webtun group ls
            """,
        subcommands: [
            GroupAdd.self, GroupRemove.self, GroupLs.self, GroupEnable.self, GroupDisable.self, GroupAssign.self,
            GroupUnassign.self, GroupScheduleCommand.self, GroupUnschedule.self,
        ])
}

/// Which groups something new belongs to.
struct GroupArguments: ParsableArguments {
    @Option(
        name: .customLong("group"),
        help: ArgumentHelp("The group it belongs to; more than once for several.", valueName: "group"))
    var groups: [String] = []
}

/// `webtun group add`
struct GroupAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Make groups.",
        discussion: """
            Examples:
              webtun group add kids
              webtun group add night -m "nothing after nine"
            """)

    @Argument(help: ArgumentHelp("What to call them.", valueName: "name"))
    var names: [String]
    @Option(
        name: [.customShort("m"), .customLong("comment")],
        help: ArgumentHelp("What it is for.", valueName: "comment"))
    var comment = ""
    @OptionGroup var global: GlobalOptions

    func run() throws {
        for group in try BlocklistStore(state: global.stateDirectory).addGroups(names, comment: comment) {
            print("added group '\(group.name.printable)'")
        }
    }
}

/// `webtun group rm`
struct GroupRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove groups that nothing belongs to and nobody is assigned to.",
        discussion: "Example: webtun group rm kids")

    @OptionGroup var groups: GroupNames

    func run() throws {
        try groups.change("removed") { try $0.removeGroups($1) }
    }
}

/// `webtun group enable`
struct GroupEnable: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "enable", abstract: "Put groups in force again.", discussion: "Example: webtun group enable kids")

    @OptionGroup var groups: GroupNames

    func run() throws {
        try groups.change("enabled") { try $0.setGroupsEnabled($1, true) }
    }
}

/// `webtun group disable`
struct GroupDisable: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "disable", abstract: "Put groups out of force: their lists and rules do not count.",
        discussion: "Example: webtun group disable kids")

    @OptionGroup var groups: GroupNames

    func run() throws {
        try groups.change("disabled") { try $0.setGroupsEnabled($1, false) }
    }
}
