internal import Glibc

/// What the calling thread is called and how it gets its turn.
public enum CurrentThread {
    /// sched(7), `SCHED_BATCH` of linux/sched.h, which Swift's Glibc does not show.
    private static let batch: CInt = 3

    /// Names the thread (proc(5), `/proc/thread-self/comm`), which is for people only.
    ///
    /// - Parameter name: at most 15 bytes, as `top -H` shows it.
    public static func setName(_ name: String) {
        // `pthread_setname_np` is not to be had from Swift's Glibc.
        let number = unsafe open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard number >= 0 else { return }
        let file = Descriptor(owning: number)
        _ = unsafe Array(name.utf8).withUnsafeBytes { unsafe file.write($0) }
    }

    /// Lets threads that carry packets go first: whoever is woken by one of them waits for its turn instead of pushing it
    /// off the processor for a whole time slice.
    ///
    /// - Parameter niceness: 0…19; on Linux it belongs to the thread (setpriority(2), "C library/kernel differences").
    public static func giveWay(niceness: Int32) {
        var parameters = sched_param()
        unsafe sched_setscheduler(0, batch, &parameters)
        setNiceness(niceness)
    }

    /// Sets the niceness, -20…19. Less than before needs CAP_SYS_NICE; without it nothing changes.
    public static func setNiceness(_ niceness: Int32) {
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness)
    }
}
