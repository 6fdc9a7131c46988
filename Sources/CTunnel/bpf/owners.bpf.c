/* Who opens and uses the sockets of this machine. The programs look on: their verdict is always "go on".
 * Compiled by scripts/bpf-header into owners.bpf.h.
 *
 *   created, connect4, connect6, sendmsg4, sendmsg6   cgroup hooks, in the process that makes the call
 *   leaving                                           cgroup hook, a packet on its way to the TUN (route back end)
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "../include/capture.h"
#include "../include/owner.h"

#include "sockets.h"

char _license[] SEC("license") = "GPL";

enum { GO_ON = 1, DEPTH = 64, ROOMS = 16, NAME_ROOM = 256, PATH_ROOM = 512 };

/* The ifindex of the TUN, for `leaving`. */
const volatile __u32 owner_tun[2] SEC(".rodata.tun") = {};

/* What is used of the kernel's own structures; libbpf fills in where the fields are (CO-RE). */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct qstr {
    __u32 len;
    const unsigned char *name;
};
struct dentry {
    struct dentry *d_parent;
    struct qstr d_name;
};
struct vfsmount {
    struct dentry *mnt_root;
};
struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
};
struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
};
struct file {
    struct path f_path;
};
struct mm_struct {
    struct file *exe_file;
};
struct task_struct {
    struct mm_struct *mm;
    struct task_struct *group_leader;
    __u64 start_boottime;
    __u64 self_exec_id;
};
#pragma clang attribute pop

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, OWNER_SOCKETS);
    __type(key, __u32);
    __type(value, struct owner_socket);
} owner_sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, OWNER_PROGRAMS);
    __type(key, __u32);
    __type(value, struct owner_program);
} owner_programs SEC(".maps");

/* Where a path is put together, from its end: room for the longest name behind every possible beginning. A program that
 * is interrupted may be followed by another one on its processor, so a room is locked like an entry. */
struct room {
    __u32 version;
    char bytes[PATH_ROOM + NAME_ROOM];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, ROOMS);
    __type(key, __u32);
    __type(value, struct room);
} rooms SEC(".maps");

/* Makes the entry this processor's alone, until `unlock`; false when another one is writing it. */
static __always_inline bool lock(__u32 *version)
{
    __u32 old = *(volatile __u32 *)version;
    return !(old & 1) && __sync_val_compare_and_swap(version, old, old + 1) == old;
}

static __always_inline void unlock(__u32 *version)
{
    __sync_fetch_and_add(version, 1);
}

/* The way from a file up to the root of its mount namespace. */
struct walk {
    struct dentry *dentry;
    struct mount *mount;
    __u32 room; /* index */
    __u32 at;   /* where in the room the path begins */
    bool whole;
};

/* One step of it: a name, or out of a mount. Returns 1 at the end. */
static long climb(__u32 step, struct walk *walk)
{
    (void)step;
    struct room *room = bpf_map_lookup_elem(&rooms, &walk->room);
    if (!room)
        return 1;
    struct dentry *dentry = walk->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
    struct mount *mount = walk->mount;
    if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
        walk->mount = BPF_CORE_READ(mount, mnt_parent);
        walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
        walk->whole = walk->mount == mount;
        return walk->whole;
    }
    __u32 length = BPF_CORE_READ(dentry, d_name.len) & (NAME_ROOM - 1);
    if (walk->at < length + 1)
        return 1;
    walk->at -= length + 1;
    __u32 start = walk->at & (PATH_ROOM - 1);
    room->bytes[start] = '/';
    if (bpf_probe_read_kernel(room->bytes + start + 1, length, BPF_CORE_READ(dentry, d_name.name)))
        return 1;
    /* What has no place in any tree (memfd_create(2)) is its own parent. */
    walk->whole = parent == dentry;
    walk->dentry = parent;
    return walk->whole;
}

/* Puts the path of the task's program into the end of a room's first PATH_ROOM bytes. Returns its length in bytes, more
 * than OWNER_PATH when its beginning is missing, 0 when there is none. */
static __always_inline __u32 find_path(struct task_struct *task, __u32 room)
{
    struct file *file = BPF_CORE_READ(task, mm, exe_file);
    if (!file)
        return 0;
    struct walk walk = {
        .dentry = BPF_CORE_READ(file, f_path.dentry),
        .mount = (void *)BPF_CORE_READ(file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt),
        .room = room,
        .at = PATH_ROOM,
    };
    bpf_loop(DEPTH, climb, &walk, 0);
    return walk.whole ? PATH_ROOM - walk.at : PATH_ROOM;
}

/* Remembers the program of the process at its place. */
static __always_inline void note_program(struct task_struct *task, __u32 pid, __u64 program, __u32 index)
{
    __u32 number = bpf_get_smp_processor_id() & (ROOMS - 1);
    struct owner_program *slot = bpf_map_lookup_elem(&owner_programs, &index);
    struct room *room = bpf_map_lookup_elem(&rooms, &number);
    if (!slot || !room || (slot->pid == pid && slot->program == program) || !lock(&room->version))
        return;
    __u32 length = find_path(task, number);
    if (lock(&slot->version)) {
        slot->pid = pid;
        slot->program = program;
        slot->length = length;
        bpf_probe_read_kernel(slot->path, OWNER_PATH, room->bytes + PATH_ROOM - OWNER_PATH);
        unlock(&slot->version);
    }
    unlock(&room->version);
}

/* Remembers the process that is making a call on this socket. */
static __always_inline void note_socket(__u64 cookie)
{
    __u32 index = cookie & (OWNER_SOCKETS - 1);
    struct owner_socket *slot = bpf_map_lookup_elem(&owner_sockets, &index);
    if (!slot)
        return;
    struct task_struct *task = (void *)bpf_get_current_task_btf();
    __u32 pid = bpf_get_current_pid_tgid() >> 32;
    __u32 uid = bpf_get_current_uid_gid();
    __u64 program = task->group_leader->start_boottime + task->self_exec_id;
    /* The programs that a process runs one after the other have places of their own. */
    __u32 place = (pid + task->self_exec_id) & (OWNER_PROGRAMS - 1);
    note_program(task, pid, program, place);
    if (slot->cookie == cookie && slot->pid == pid && slot->uid == uid && slot->program == program)
        return;
    if (!lock(&slot->version))
        return;
    slot->cookie = cookie;
    slot->pid = pid;
    slot->uid = uid;
    slot->program = program;
    slot->place = place;
    unlock(&slot->version);
}

SEC("cgroup/sock_create") int created(struct bpf_sock *context)
{
    note_socket(bpf_get_socket_cookie(context));
    return GO_ON;
}

#define CALL(name)                                     \
    SEC("cgroup/" #name)                               \
    int name(struct bpf_sock_addr *context)            \
    {                                                  \
        note_socket(bpf_get_socket_cookie(context));   \
        return GO_ON;                                  \
    }

CALL(connect4)
CALL(connect6)
CALL(sendmsg4)
CALL(sendmsg6)

/* Packets on their way to the TUN by a route: the flow belongs to the socket. Starts at the IP header. Extension headers
 * are not looked behind: such a packet's socket is looked up otherwise. */
SEC("cgroup_skb/egress") int leaving(struct __sk_buff *skb)
{
    if (skb->ifindex != owner_tun[0])
        return GO_ON;
    struct capture_key key = {};
    __u32 offset = 0;
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        struct iphdr ip;
        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof ip) || ip.frag_off & bpf_htons(0x1fff))
            return GO_ON;
        key.source[3] = ip.saddr;
        key.destination[3] = ip.daddr;
        key.protocol = ip.protocol;
        key.version = 4;
        offset = ip.ihl * 4;
    } else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        struct ipv6hdr ip;
        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof ip))
            return GO_ON;
        __builtin_memcpy(key.source, &ip.saddr, 16);
        __builtin_memcpy(key.destination, &ip.daddr, 16);
        key.protocol = ip.nexthdr;
        key.version = 6;
        offset = sizeof ip;
    } else {
        return GO_ON;
    }
    if ((key.protocol == IPPROTO_UDP || key.protocol == IPPROTO_TCP)
        && bpf_skb_load_bytes(skb, offset, &key.source_port, 4))
        return GO_ON;
    note_flow(&key, bpf_get_socket_cookie(skb));
    return GO_ON;
}
