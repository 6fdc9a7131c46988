extension PolicySnapshot {
    /// The number of the set of `local.safeSearch` that a name is answered from, -1: none. Does not allocate; any thread.
    ///
    /// - Parameters:
    ///   - name: wire form in lower case, with the root's byte.
    ///   - asker: safe search may be enforced for some groups alone.
    public func safeSearch(for name: RawSpan, asker: Asker) -> Int {
        guard let groups = inForce(asker.profile) else { return -1 }
        return local.safeSearch.find(name, groups: groups.rawValue)
    }
}
