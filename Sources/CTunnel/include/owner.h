/* Who sent a packet: the tables that the BPF programs fill and the daemon reads through mmap(2), without a system call.
 *
 *   owner_flows     5-tuple -> socket cookie   filled where packets leave: capture.bpf.c (link), owners.bpf.c (route)
 *   owner_sockets   socket cookie -> process   filled in the process's own socket(2), connect(2), sendto(2)
 *   owner_programs  process -> program         filled with the first socket of a process
 *
 * Each is an array in which a key has one place, so that the youngest entry stays and nothing is ever freed.
 */
#ifndef WEBTUN_OWNER_H
#define WEBTUN_OWNER_H

#include <linux/types.h>

/* Entries, powers of two. */
enum { OWNER_FLOWS = 16384, OWNER_SOCKETS = 16384, OWNER_PROGRAMS = 2048, OWNER_PATH = 232 };

/* Valid for a tuple when `check ^ cookie` is its hash: a half-written entry is no entry. */
struct owner_flow {
    __u64 check;
    __u64 cookie;
};

/* `version` is odd while the entry is being written. */
struct owner_socket {
    __u32 version;
    __u32 uid; /* real user ID, first user namespace */
    __u64 cookie;
    __u64 program; /* of owner_program */
    __u32 pid;     /* thread group, first PID namespace */
    __u32 place;   /* of the program in owner_programs */
};

struct owner_program {
    __u32 version;
    __u32 pid;
    /* When the process began, nanoseconds of CLOCK_BOOTTIME, plus how often it has called execve(2): a number that a pid
     * never has twice. */
    __u64 program;
    /* Bytes of the program's path; more than OWNER_PATH: of which only the end is here. 0: not known. */
    __u32 length;
    __u32 zero;
    /* The path's last bytes, at the end of the array. */
    char path[OWNER_PATH];
};

_Static_assert(sizeof(struct owner_flow) == 16, "owner_flow");
_Static_assert(sizeof(struct owner_socket) == 32, "owner_socket");
_Static_assert(sizeof(struct owner_program) == 256, "owner_program");

/* One step of the hash of a tuple: multiply and fold (the finalizer of MurmurHash3's kind), over 64-bit words. */
static inline __attribute__((always_inline)) __u64 owner_mix(__u64 hash, __u64 word)
{
    hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
    return hash ^ hash >> 32;
}

/* The hash of a tuple. Addresses and ports as numbers in host byte order; `ports`: source port << 16 | destination port.
 * An IPv4 address is the lower 32 bits of `low`, and `high` is 0. */
static inline __attribute__((always_inline)) __u64 owner_hash(
    __u64 seed, __u64 source_high, __u64 source_low, __u64 destination_high, __u64 destination_low, __u32 ports,
    __u8 protocol)
{
    __u64 hash = owner_mix(seed, source_low);
    hash = owner_mix(hash, destination_low);
    if (source_high | destination_high) {
        hash = owner_mix(hash, source_high);
        hash = owner_mix(hash, destination_high);
    }
    return owner_mix(owner_mix(hash, (__u64)protocol << 32 | ports), seed);
}

#endif
