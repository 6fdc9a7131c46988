/// What the classes of an index ask of a query besides its name. Immutable; any thread.
///
/// Asked only about classes whose kind has `hasOptions`.
struct ClassOptions: Sendable {
    /// - Parameter image: whose classes it speaks of.
    init(_ image: IndexImage) {}

    /// Whether a class speaks of a query. An entry whose options are not understood speaks of none.
    ///
    /// - Parameters:
    ///   - number: of the class.
    ///   - qtype: 0 when it is not known.
    @inline(__always)
    func applies(_ number: Int, qtype: UInt16, _ query: QueryText) -> Bool { false }
}
