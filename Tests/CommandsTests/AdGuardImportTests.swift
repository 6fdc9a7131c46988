import Foundation
import Testing

/// `webtun import` of an `AdGuardHome.yaml` with clients and safe search, as a process.
@Suite struct AdGuardImportTests {
    typealias Place = ListCommandTests.Place

    /// As schema version 28 has it, but for settings that nothing here looks at.
    static let household = """
        http:
          pprof:
            port: 6060
            enabled: false
          address: 0.0.0.0:80
          session_ttl: 720h
        users: []
        dns:
          bind_hosts:
            - 0.0.0.0
          port: 53
          upstream_dns:
            - https://dns.example/dns-query
        filters: []
        whitelist_filters: []
        user_rules:
          - '||ads.example^'
        clients:
          runtime_sources:
            whois: true
            arp: true
          persistent:
            - safe_search:
                enabled: true
                bing: true
                duckduckgo: true
                ecosia: true
                google: true
                pixabay: true
                yandex: true
                youtube: true
              blocked_services:
                schedule:
                  time_zone: Local
                ids:
                  - tiktok
              name: Tablet
              ids:
                - 192.0.2.7
                - 02:00:00:00:00:07
              tags:
                - device_tablet
                - user_child
              upstreams: []
              use_global_settings: false
              filtering_enabled: true
              parental_enabled: true
              safebrowsing_enabled: false
              use_global_blocked_services: false
              ignore_querylog: false
              ignore_statistics: false
            - safe_search:
                enabled: false
                bing: true
                google: true
              name: Desk
              ids:
                - 192.0.2.8
                - 2001:db8::8
                - desk-of-alice
              tags: []
              upstreams:
                - 192.0.2.54
              use_global_settings: false
              filtering_enabled: true
              parental_enabled: false
              safebrowsing_enabled: false
              use_global_blocked_services: true
              ignore_querylog: true
            - safe_search:
                enabled: false
              name: Printer
              ids:
                - 02:00:00:00:00:09
                - 192.0.2.9
              use_global_settings: false
              filtering_enabled: false
              use_global_blocked_services: true
            - safe_search:
                enabled: false
              name: Scanner
              ids:
                - 192.0.2.10
              use_global_settings: false
              filtering_enabled: false
              use_global_blocked_services: true
            - safe_search:
                enabled: false
              name: Guests
              ids:
                - 198.51.100.0/24
              use_global_settings: true
              filtering_enabled: false
              use_global_blocked_services: true
        filtering:
          blocking_mode: default
          rewrites: []
          blocked_services:
            schedule:
              time_zone: Local
            ids: []
          safe_search:
            enabled: true
            bing: true
            duckduckgo: false
            google: true
          filters_update_interval: 24
          parental_enabled: false
          safebrowsing_enabled: false
          protection_enabled: true
          filtering_enabled: true
        schema_version: 28

        """

    private func objects(_ text: String) throws -> [[String: Any]] {
        try text.split(separator: "\n").map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    /// A place that knows search engines, none enforced.
    private func place() throws -> Place {
        let place = try Place()
        #expect(try place.webtun("safesearch", "on", "--engines", RecordCommandTests.engines).status == 0)
        #expect(try place.webtun("safesearch", "off").status == 0)
        return place
    }

    @Test func clientsWithTheSameSettingsShareAGroup() throws {
        let place = try place()
        // A rule from before holds for whoever is filtered.
        #expect(try place.webtun("deny", "old.example").status == 0)
        let file = try place.file("AdGuardHome.yaml", AdGuardImportTests.household)
        let taken = try place.webtun("import", file)
        #expect(taken.status == 0)
        #expect(
            taken.output
                == "took in \(file) of AdGuard Home: 0 lists, 1 rules, 11 groups, clients and records, "
                + "safe search of 9 engines; not taken: 7\n", "\(taken)")
        let clients = try objects(place.webtun("client", "ls", "--json").output)
        #expect(
            clients.map {
                "\($0["client"] ?? "") \(($0["groups"] as? [String] ?? []).joined(separator: ",")) \($0["comment"] ?? "")"
            }
                == [
                    "192.0.2.7 default,adguard-safesearch Tablet",
                    "02:00:00:00:00:07 default,adguard-safesearch Tablet",
                    "192.0.2.8 adguard-less-safesearch Desk", "2001:db8::8 adguard-less-safesearch Desk",
                    "02:00:00:00:00:09 adguard-unfiltered Printer", "192.0.2.9 adguard-unfiltered Printer",
                    "192.0.2.10 adguard-unfiltered Scanner", "198.51.100.0/24 default Guests",
                ])
        // What is told has its line.
        let lines = AdGuardImportTests.household.split(separator: "\n", omittingEmptySubsequences: false)
        for (text, reason) in [
            ("tiktok", "tiktok: a blocked service"), ("device_tablet", "Tablet device_tablet: tags"),
            ("user_child", "Tablet user_child: tags"), ("parental_enabled: true", "Tablet parental_enabled: "),
            ("desk-of-alice", "Desk desk-of-alice: 'desk-of-alice' is no address, prefix or MAC address"),
            ("192.0.2.54", "Desk 192.0.2.54: servers of a client's own"),
            ("ignore_querylog: true", "Desk ignore_querylog: "),
        ] {
            let line = try #require(lines.firstIndex { $0.contains(text) }) + 1
            #expect(taken.errors.contains("\(file):line \(line): not taken: \(reason)"), "\(reason) in \(taken.errors)")
        }

        for (name, client, status) in [
            ("ads.example", "192.0.2.7", 3), ("ads.example", "192.0.2.8", 3), ("ads.example", "192.0.2.9", 0),
            ("ads.example", "02:00:00:00:00:09", 0), ("ads.example", "198.51.100.7", 3),
            ("ads.example", "203.0.113.9", 3), ("old.example", "2001:db8::8", 3), ("old.example", "192.0.2.10", 0),
        ] {
            #expect(try place.webtun("why", name, "--client", client).status == status, "\(name) for \(client)")
        }
        let engines = try objects(place.webtun("safesearch", "ls", "--json").output)
        let groups = Dictionary(
            uniqueKeysWithValues: engines.compactMap { engine in
                (engine["engine"] as? String).map { ($0, engine["groups"] as? [String: String] ?? [:]) }
            })
        #expect(groups["google"] == ["default": "strict", "adguard-safesearch": "strict"])
        #expect(groups["youtube"] == ["adguard-safesearch": "moderate"])
        #expect(groups["duckduckgo"] == ["adguard-safesearch": "strict"])

        // Once more: everything is there.
        let again = try objects(place.webtun("import", file, "--json").output)[0]
        #expect(again["rules_added"] as? Int == 0 && again["rules_kept"] as? Int == 1, "\(again)")
        #expect(again["others_added"] as? Int == 0 && again["others_kept"] as? Int == 11, "\(again)")
        #expect(again["engines_added"] as? Int == 0 && again["engines_kept"] as? Int == 9, "\(again)")
        // The rules were one change, and what was there before is as it was.
        #expect(try place.webtun("rule", "undo").status == 0)
        let rules = try objects(place.webtun("rule", "ls", "--json").output)
        #expect(rules.map { $0["name"] as? String } == ["old.example"])
        #expect(rules[0]["groups"] as? [String] == ["default"])
    }

    @Test func dryRunsChangeNothing() throws {
        let place = try place()
        let file = try place.file("AdGuardHome.yaml", AdGuardImportTests.household)
        let dry = try place.webtun("import", file, "--dry-run")
        #expect(dry.output.contains("11 groups, clients and records, safe search of 9 engines"), "\(dry)")
        #expect(try place.webtun("client", "ls", "--json").output == "")
        #expect(try place.webtun("group", "ls", "--json").output.split(separator: "\n").count == 1)
        #expect(try !place.webtun("safesearch", "ls", "--json").output.contains(#""on":true"#))
    }

    /// One switch for all engines, and clients as a sequence with one address: before schema versions 18, 14 and 6.
    @Test func olderFiles() throws {
        let place = try place()
        let file = try place.file(
            "old.yaml",
            """
            dns:
              filtering_enabled: true
              safesearch_enabled: true
            user_rules: []
            clients:
              - name: Laptop
                ip: 192.0.2.11
                mac: ""
                use_global_settings: false
                filtering_enabled: true
                safesearch_enabled: true
              - name: Phone
                ip: ""
                mac: 02:00:00:00:00:0c
                use_global_settings: false
                filtering_enabled: false
                safesearch_enabled: true
              - 192.0.2.13

            """)
        let refused = try place.webtun("import", file)
        #expect(refused.status == 1 && refused.errors.contains("line 18: a client has a name and ids"), "\(refused)")
        let text = try String(contentsOfFile: file, encoding: .utf8).replacing("  - 192.0.2.13\n", with: "")
        let taken = try place.webtun("import", place.file("old.yaml", text))
        #expect(taken.status == 0 && taken.errors == "", "\(taken)")
        let clients = try objects(place.webtun("client", "ls", "--json").output)
        #expect(clients.map { $0["groups"] as? [String] } == [["default"], ["adguard-unfiltered"]])
        let engines = try objects(place.webtun("safesearch", "ls", "--json").output)
        let then = ["bing", "duckduckgo", "google", "pixabay", "yandex", "youtube"]
        #expect(Set(engines.compactMap { $0["engine"] as? String }).isSuperset(of: then))
        for engine in engines {
            let name = engine["engine"] as? String ?? ""
            let level = name == "youtube" ? "moderate" : "strict"
            #expect(
                engine["groups"] as? [String: String]
                    == (then.contains(name) ? ["default": level, "adguard-unfiltered": level] : [:]), "\(name)")
        }
    }

    /// Without data of search engines the rest is taken.
    @Test func withoutDataOfEngines() throws {
        let place = try Place()
        let file = try place.file("AdGuardHome.yaml", AdGuardImportTests.household)
        let taken = try place.webtun("import", file)
        #expect(taken.status == 0 && taken.output.contains("11 groups, clients and records"), "\(taken)")
        if !FileManager.default.fileExists(atPath: "/usr/share/webtun/blocklists/engines.safesearch") {
            #expect(taken.errors.contains("safe search for default: not taken: google: "), "\(taken.errors)")
        }
    }
}
