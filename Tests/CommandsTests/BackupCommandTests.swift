import Foundation
import Testing

/// `webtun export`, `import`, `rule undo`, `list diff` and `list show --unique` as processes, with no daemon.
@Suite struct BackupCommandTests {
    typealias Place = ListCommandTests.Place

    static let adguard = """
        http:
          address: 0.0.0.0:3000
        users:
          - name: admin
            password: $2a$10$abcdefghijklmnopqrstuv
        dns:
          upstream_dns:
            - 192.0.2.53
          bind_hosts: ["0.0.0.0"]
        filters:
          - enabled: true
            url: https://lists.example/filter_1.txt
            name: 'Everyone''s list'
            id: 1
          - enabled: false
            url: https://lists.example/filter_2.txt
            name: Second
            id: 2
        whitelist_filters:
          - enabled: true
            url: https://lists.example/allow.txt
            name: Exceptions
            id: 3
        user_rules:
          - '||ads.example^'
          - '@@||ok.ads.example^$important'
          - "/^pixel[0-9]+\\\\./"
          - '! a remark'
          - ''
          - '||tablet.example^$client=192.0.2.9'
          - 0.0.0.0 plain.example
        clients:
          persistent:
            - name: Tablet
              ids:
                - 192.0.2.7
        filtering:
          filters_update_interval: 12
          rewrites:
            - domain: nas.example
              answer: 192.0.2.20
              enabled: true
          blocked_services:
            schedule:
              time_zone: Local
            ids:
              - tiktok
          safe_search:
            enabled: true
        schema_version: 29

        """

    @Test func exportAndImport() throws {
        let place = try Place()
        #expect(try place.webtun("list", "add", place.file("ads.txt", "ads.example\nb.example\n")).status == 0)
        #expect(try place.webtun("deny", "x.example", "-m", "why").status == 0)
        let file = place.path + "/file"
        let written = try place.webtun("export", file)
        #expect(written.status == 0 && written.output.hasPrefix("wrote \(file), "))
        #expect(
            written.output.hasSuffix(": 1 of state, 1 of policy_group, 1 of list, 2 of entry, 1 of rule\n"),
            "\(written.output)")
        #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)
        #expect(!FileManager.default.fileExists(atPath: file + ".new"))

        let other = try Place()
        let read = try other.webtun("import", file, "--json")
        #expect(read.status == 0, "\(read.errors)")
        #expect(read.output.contains("\"entry\":{\"added\":2,\"kept\":0}"), "\(read.output)")
        #expect(try other.webtun("why", "www.b.example").status == 3)
        let again = try other.webtun("import", file)
        #expect(again.status == 1)
        #expect(
            again.errors.hasPrefix("webtun: there are 1 of 'list', 1 of 'rule' here already: --merge adds"),
            "\(again.errors)")
        let merged = try other.webtun("import", file, "--merge")
        #expect(merged.output.hasPrefix("took in \(file): nothing new\nalready there: "), "\(merged.output)")
        #expect(try other.webtun("import", file, "--merge", "--replace").status == 64)
        // The same through a pipe.
        let piped = try WebtunProcess.run(
            ["-c", "\"$0\" export - > '\(place.path)/piped'"], environment: ["WEBTUN_STATE": place.state],
            executable: "/bin/sh", before: [])
        #expect(piped.status != 0 || FileManager.default.fileExists(atPath: place.path + "/piped"))
        for (name, text, reason) in [
            ("empty", "", "it has neither filters nor user_rules"), ("text", "hello\n", "no export of webtun"),
            ("bad.yaml", "filters:\n  - a: [\n", "bad.yaml: line 3, column 1: "),
            ("odd.yaml", "filters:\n  - name: x\n", "odd.yaml: line 2: a filter has a url"),
        ] {
            let refused = try other.webtun("import", other.file(name, text))
            #expect(refused.status == 1 && refused.errors.contains(reason), "\(refused.errors)")
        }
        #expect(
            try other.webtun("import", other.path + "/none").errors
                == "webtun: \(other.path)/none: No such file or directory\n")
        #expect(try other.webtun("rule", "ls", "--json").output.split(separator: "\n").count == 1)
    }

    @Test func anAdGuardHomeFile() throws {
        let place = try Place()
        let file = try place.file("AdGuardHome.yaml", BackupCommandTests.adguard)
        let dry = try place.webtun("import", file, "--dry-run")
        #expect(
            dry.output.hasPrefix(
                "would take in \(file) of AdGuard Home: 3 lists, 4 rules, 2 groups, clients and records; not taken: "),
            "\(dry.output)")
        #expect(try place.webtun("rule", "ls", "--json").output == "")
        let taken = try place.webtun("import", file)
        #expect(taken.status == 0)
        #expect(
            taken.errors.contains("\(file):line 30: not taken: ||tablet.example^$client=192.0.2.9: "), "\(taken.errors)"
        )
        for left in ["tiktok: a blocked service", "safe_search: is on and names no engine"] {
            #expect(taken.errors.contains(left), "\(taken.errors)")
        }
        let rules = try place.webtun("rule", "ls", "--json").output
        for rule in [
            #""action":"deny","match":"suffix","name":"ads.example""#,
            #""action":"allow","match":"suffix","name":"ok.ads.example""#,
            #""match":"regex","name":"^pixel[0-9]+\\.""#, #""action":"deny","match":"exact","name":"plain.example""#,
        ] {
            #expect(rules.contains(rule), "\(rules)")
        }
        let lists = try place.webtun("list", "ls", "--json").output
        #expect(lists.contains(#""name":"Everyone's list","source":"https://lists.example/filter_1.txt""#), "\(lists)")
        #expect(lists.contains(#""every":43200"#) && lists.contains(#""enabled":false"#))
        #expect(try place.webtun("record", "ls").output.contains("nas.example"))
        let client = try place.webtun("client", "ls", "--json").output
        #expect(
            client.hasPrefix(#"{"client":"192.0.2.7","kind":"address","uid":null,"groups":["default"]"#), "\(client)")
        // All of the rules were one change.
        #expect(try place.webtun("rule", "undo").output.split(separator: "\n").count == 4)
        #expect(try place.webtun("rule", "ls", "--json").output == "")
    }

    @Test func undo() throws {
        let place = try Place()
        #expect(try place.webtun("rule", "undo").errors == "webtun: no change of rules can be taken back\n")
        #expect(try place.webtun("deny", "x.example", "-m", "why").status == 0)
        #expect(try place.webtun("allow", "x.example").status == 0)
        #expect(try place.webtun("flow", "deny", "203.0.113.0/24", "--port", "25").status == 0)
        let shown = try place.webtun("rule", "undo", "--list").output.split(separator: "\n").map { $0.dropFirst(18) }
        #expect(
            shown == [
                "added flow deny 203.0.113.0/24 port 25",
                "changed deny suffix x.example (why) to allow suffix x.example", "added deny suffix x.example (why)",
            ])
        #expect(try place.webtun("rule", "undo").output == "removed again: flow deny 203.0.113.0/24 port 25\n")
        let dry = try place.webtun("rule", "undo", "--dry-run").output
        #expect(dry == "would have changed back: allow suffix x.example is deny suffix x.example (why) again\n")
        #expect(try place.webtun("rule", "undo", "--json").output.contains("\"old\":{\"id\":1,"))
        #expect(try place.webtun("why", "x.example").status == 3)
        #expect(try place.webtun("rule", "undo").output == "removed again: deny suffix x.example (why)\n")
        #expect(try place.webtun("rule", "undo").status == 1)
    }

    @Test func listsAreCompared() throws {
        let place = try Place()
        #expect(
            try place.webtun("list", "add", place.file("a.txt", "one.example\ntwo.example\nx.three.example\n")).status
                == 0)
        #expect(try place.webtun("list", "add", place.file("b.txt", "two.example\nthree.example\n")).status == 0)
        let diff = try place.webtun("list", "diff", "a", "b")
        #expect(
            diff.output == """
                only in 'a': 2
                  one.example
                  x.three.example
                only in 'b': 1
                  three.example
                in both: 1
                  two.example

                """)
        #expect(
            try place.webtun("list", "diff", "a", "b", "--only", "first").output == "one.example\nx.three.example\n")
        let json = try place.webtun("list", "diff", "a", "b", "--json", "--limit", "0").output
        #expect(json.hasPrefix(#"{"first":"a","second":"b","only_first":2,"only_second":1,"both":1,"#), "\(json)")
        let unique = try place.webtun("list", "show", "a", "--unique")
        #expect(unique.output.hasPrefix("'a' alone decides 1 of its 3 names (33.3 %)\n"), "\(unique.output)")
        #expect(try place.webtun("list", "show", "a", "--unique", "--json").output.contains(#""unique":1,"#))
        #expect(try place.webtun("list", "diff", "a", "none").status == 1)
        let count = try place.webtun("search", "example", "--count")
        #expect(count.output == "FOUND  LIST\n    3  a\n    2  b\n", "\(count.output)")
        let found = try place.webtun("search", "three").output
        #expect(found.hasSuffix("2 found: 1 in a, 1 in b\n"), "\(found)")
        #expect(try place.webtun("list", "whatif", place.path + "/a.txt").errors.contains("no query log"))
    }
}
