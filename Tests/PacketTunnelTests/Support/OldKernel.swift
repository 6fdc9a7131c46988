import Glibc
import Kernel

/// A kernel without TCX, as far as the calling thread can tell: `bpf(BPF_PROG_QUERY)`, with which webtun asks for TCX,
/// fails with EINVAL as it does before Linux 6.6. A seccomp filter (seccomp(2)) that ends with the thread; threads made
/// later by it have it too.
enum OldKernel {
    static func begin() throws {
        #if arch(x86_64)
            let call: UInt64 = 321
        #else
            let call: UInt64 = 280
        #endif
        // struct sock_filter as an integer: code, jumps if true and false, operand.
        func instruction(_ code: UInt64, yes: UInt64 = 0, no: UInt64 = 0, operand: UInt64) -> UInt64 {
            code | yes << 16 | no << 24 | operand << 32
        }
        let filter: [UInt64] = [
            instruction(0x20, operand: 0),  // the call's number
            instruction(0x15, no: 3, operand: call),  // bpf?
            instruction(0x20, operand: 16),  // its first argument
            instruction(0x15, no: 1, operand: 16),  // BPF_PROG_QUERY?
            instruction(0x06, operand: 0x0005_0000 | 22),  // EINVAL
            instruction(0x06, operand: 0x7fff_0000),  // allowed
        ]
        guard prctl(38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0) == 0 else { throw KernelError("PR_SET_NO_NEW_PRIVS") }
        try filter.withUnsafeBufferPointer { filter in
            // struct sock_fprog
            let program = (UInt64(filter.count), filter.baseAddress!)
            let set = withUnsafePointer(to: program) {
                prctl(22 /* PR_SET_SECCOMP */, 2 /* filter */, UInt(bitPattern: $0), 0, 0)
            }
            guard set == 0 else { throw KernelError("PR_SET_SECCOMP") }
        }
    }
}

/// `prctl(2)`, which Glibc's module leaves out because its arguments vary.
@_silgen_name("prctl")
private func prctl(_ option: CInt, _ second: UInt, _ third: UInt, _ fourth: UInt, _ fifth: UInt) -> CInt
