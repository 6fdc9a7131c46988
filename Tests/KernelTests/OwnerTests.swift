import Kernel
import Testing

@Suite("Owner")
struct OwnerTests {
    @Test("hashes text and bytes alike, differently for different programs, never to nobody's 0")
    func hash() {
        let paths = ["", "/", "dig", "/usr/bin/dig", "/usr/bin/dig ", "/usr/local/bin/dig", "/opt/ünïcode"]
        #expect(Set(paths.map { Owner.hash(of: $0) }).count == paths.count)
        for path in paths {
            #expect(Owner.hash(Array(path.utf8).span.bytes) == Owner.hash(of: path))
            #expect(Owner.hash(of: path) != 0)
        }
    }

    @Test("nobody is known at first")
    func unknown() {
        let owner = Owner.unknown
        #expect(owner.uid == -1 && owner.pid == -1 && owner.path == 0 && owner.name == 0 && owner.certainty == .none)
    }
}
