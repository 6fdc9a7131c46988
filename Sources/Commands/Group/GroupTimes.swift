import ArgumentParser
import Blocklist

/// `webtun group schedule`
struct GroupScheduleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule", abstract: "Put a group in force at some times only.",
        discussion: """
            A group may have several schedules: it is in force while one of them holds. Outside of them its lists and rules
            do not count. When --to is not after --from, the time ends on the next day; the days are those on which it
            begins.

            Examples:
              webtun group schedule kids --days mon-fri --from 21:00 --to 07:00
              webtun group schedule kids --days sat,sun --from 22:30 --to 08:00 --zone Europe/Berlin
              webtun group schedule work --days mon-fri
            """)

    @Argument(help: ArgumentHelp("The group.", valueName: "group"))
    var name: String
    @Option(
        name: .customLong("days"),
        help: ArgumentHelp("The days on which it begins: mon-fri, sat,sun, daily.", valueName: "days"))
    var days = "daily"
    @Option(name: .customLong("from"), help: ArgumentHelp("When it begins.", valueName: "hh:mm"))
    var from = "00:00"
    @Option(name: .customLong("to"), help: ArgumentHelp("When it ends.", valueName: "hh:mm"))
    var to = "24:00"
    @Option(
        name: .customLong("zone"),
        help: ArgumentHelp("The time zone.", discussion: "Default: that of the machine.", valueName: "zone"))
    var zone: String?
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let schedule = try GroupSchedule(
            days: Weekdays(days), from: ClockTime.minutes(from), to: ClockTime.minutes(to), zone: zone)
        let added = try BlocklistStore(state: global.stateDirectory).addSchedule(name, schedule)
        print("group '\(name.printable)': in force \(added) (schedule \(added.id))")
    }
}

/// `webtun group unschedule`
struct GroupUnschedule: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unschedule",
        abstract: "Remove schedules of a group: some, or all. Without any it always is in force.",
        discussion: """
            Examples:
              webtun group unschedule kids
              webtun group unschedule kids 3
            """)

    @Argument(help: ArgumentHelp("The group.", valueName: "group"))
    var name: String
    @Argument(help: ArgumentHelp("Schedules, by id ('webtun group ls'). Default: all.", valueName: "id"))
    var ids: [Int32] = []
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let removed = try BlocklistStore(state: global.stateDirectory).removeSchedules(name, ids)
        if removed.isEmpty { print("group '\(name.printable)' has no schedule") }
        for schedule in removed { print("group '\(name.printable)': removed \(schedule)") }
    }
}
