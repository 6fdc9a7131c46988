extension GlobalOptions {
    /// The query log of the state directory.
    var logPath: String { stateDirectory + "/querylog.db" }
}
