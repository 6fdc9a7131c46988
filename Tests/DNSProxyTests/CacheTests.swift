import Kernel
import Testing
import Wire

@testable import DNSProxy

@Suite struct CacheTests {
    static func facts(_ stored: UInt32, _ ttl: UInt32) -> Cache.Facts {
        Cache.Facts(
            stored: stored, expires: stored + ttl, rcode: 0, upstream: .none, isAuthentic: false,
            hasServiceHints: false, generation: 0)
    }

    static func query(_ qtype: UInt16) -> Query {
        var query = Query.none
        query.qtype = qtype
        query.qclass = 1
        return query
    }

    /// Random insertions and lookups against a dictionary that forgets nothing: a hit must be the newest message that
    /// was inserted for the question and not expired, and a question asked for often must stay.
    @Test(arguments: [1, 2, 3]) func agreesWithADictionary(seed: UInt64) throws {
        print("seed \(seed)")
        var random = SplitMix(seed: seed)
        var cache = Cache(byteCount: 262_144)
        var reference: [String: (message: [UInt8], expires: UInt32)] = [:]
        var hits = 0
        var favouriteMisses = 0
        for step in 0..<30_000 {
            let seconds = UInt32(step / 20)
            let number = random.next() % 4 == 0 ? 0 : Int(random.next() % 4000)
            let text = "host\(number).example"
            let name = try #require(Name(text))
            let key = QuestionKey(name, Self.query(1), seed: 99)
            if let hit = cache.find(key, name.bytes, seconds: seconds) {
                hits += 1
                let known = try #require(reference[text])
                #expect(Self.array(cache.message(hit)) == known.message)
                #expect(known.expires > seconds)
                #expect(Self.array(cache.digest(hit)) == [UInt8(truncatingIfNeeded: number)])
                #expect(Self.array(cache.chain(hit)) == Self.chain(number))
            } else {
                if number == 0, let known = reference[text], known.expires > seconds { favouriteMisses += 1 }
                let message = (0..<Int(random.next() % 400 + 20)).map { UInt8(truncatingIfNeeded: $0 ^ step) }
                let ttl = UInt32(random.next() % 600 + 1)
                cache.insert(
                    key, name.bytes, Self.facts(seconds, ttl), digest: [UInt8(truncatingIfNeeded: number)].span.bytes,
                    chain: Self.chain(number).span.bytes, message: message.span.bytes)
                reference[text] = (message, seconds + ttl)
            }
        }
        #expect(hits > 5000)
        #expect(favouriteMisses == 0, "what is asked for is not evicted")
        #expect(cache.count > 300)
    }

    @Test func otherTypesAndBitsAreOtherQuestions() throws {
        var cache = Cache(byteCount: 262_144)
        let name = try #require(Name("www.example"))
        var secure = Self.query(1)
        secure.dnssecOK = true
        var unchecked = Self.query(1)
        unchecked.flags = Flags.cd
        let keys = [Self.query(1), Self.query(28), secure, unchecked].map { QuestionKey(name, $0, seed: 5) }
        for (index, key) in keys.enumerated() {
            cache.insert(
                key, name.bytes, Self.facts(0, 60), digest: RawSpan(), chain: RawSpan(),
                message: [UInt8(index)].span.bytes)
        }
        for (index, key) in keys.enumerated() {
            let found = cache.find(key, name.bytes, seconds: 1)
            #expect(Self.array(cache.message(try #require(found))) == [UInt8(index)])
        }
    }

    @Test func namesThatShareAHashAreTold() throws {
        var cache = Cache(byteCount: 262_144)
        let one = try #require(Name("one.example"))
        let two = try #require(Name("two.example"))
        let key = QuestionKey(one, Self.query(1), seed: 5)
        cache.insert(
            key, one.bytes, Self.facts(0, 60), digest: RawSpan(), chain: RawSpan(), message: ([1] as [UInt8]).span.bytes
        )
        let stranger = cache.find(key, two.bytes, seconds: 1)
        #expect(stranger == nil)
        cache.insert(
            key, two.bytes, Self.facts(0, 60), digest: RawSpan(), chain: RawSpan(), message: ([2] as [UInt8]).span.bytes
        )
        let found = cache.find(key, one.bytes, seconds: 1)
        #expect(Self.array(cache.message(try #require(found))) == [1])
    }

    @Test func anAnswerTooLargeForTheCacheIsNotKept() throws {
        var cache = Cache(byteCount: 262_144)
        let name = try #require(Name("www.example"))
        let key = QuestionKey(name, Self.query(1), seed: 5)
        let message = [UInt8](repeating: 0, count: 65_535)
        cache.insert(
            key, name.bytes, Self.facts(0, 60), digest: RawSpan(), chain: RawSpan(), message: message.span.bytes)
        let found = cache.find(key, name.bytes, seconds: 1)
        #expect(found == nil)
    }

    /// Three of four answers have none.
    static func chain(_ number: Int) -> [UInt8] {
        number % 4 > 0 ? [] : [UInt8](repeating: UInt8(truncatingIfNeeded: number / 4), count: number % 101)
    }

    static func array(_ bytes: RawSpan) -> [UInt8] {
        (0..<bytes.byteCount).map { bytes.u8($0) }
    }
}

/// A small random source that a printed seed repeats (Steele, Lea and Flood, 2014).
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
