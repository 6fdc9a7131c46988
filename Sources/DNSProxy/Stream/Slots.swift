/// A fixed number of values that cannot be copied, made once and used in place. Out of bounds is a trap.
@safe
struct Slots<Element: ~Copyable>: ~Copyable {
    private let base: UnsafeMutablePointer<Element>
    let count: Int

    init<Failure: Error>(count: Int, _ make: (Int) throws(Failure) -> Element) throws(Failure) {
        let base = UnsafeMutablePointer<Element>.allocate(capacity: count)
        var made = 0
        do throws(Failure) {
            while made < count {
                unsafe (base + made).initialize(to: try make(made))
                made += 1
            }
        } catch {
            unsafe base.deinitialize(count: made)
            unsafe base.deallocate()
            throw error
        }
        self.count = count
        unsafe self.base = base
    }

    deinit {
        unsafe base.deinitialize(count: count)
        unsafe base.deallocate()
    }

    subscript(index: Int) -> Element {
        unsafeAddress { unsafe address(index) }
        unsafeMutableAddress { unsafe mutableAddress(index) }
    }

    /// For the accessors of a type that keeps its values here.
    @unsafe
    func address(_ index: Int) -> UnsafePointer<Element> {
        precondition(index >= 0 && index < count)
        return unsafe UnsafePointer(base + index)
    }

    @unsafe
    mutating func mutableAddress(_ index: Int) -> UnsafeMutablePointer<Element> {
        precondition(index >= 0 && index < count)
        return unsafe base + index
    }
}
