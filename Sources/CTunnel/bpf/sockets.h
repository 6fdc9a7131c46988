/* Which socket of this machine a flow is from, noted by the program that sees its packets leave. See ../include/owner.h. */
#ifndef WEBTUN_SOCKETS_H
#define WEBTUN_SOCKETS_H

const volatile __u64 owner_seed[2] SEC(".rodata.owner") = {};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, OWNER_FLOWS);
    __type(key, __u32);
    __type(value, struct owner_flow);
} owner_flows SEC(".maps");

/* Remembers the socket of a tuple; `cookie` 0: it has none, as the packet is another machine's. */
static __always_inline void note_flow(__u64 hash, __u64 cookie)
{
    __u32 index = hash & (OWNER_FLOWS - 1);
    struct owner_flow *flow = bpf_map_lookup_elem(&owner_flows, &index);
    if (!flow)
        return;
    if (cookie) {
        /* What stands there already is not written again: other processors read it. */
        if (flow->cookie == cookie && flow->check == (hash ^ cookie))
            return;
        flow->check = hash ^ cookie;
        flow->cookie = cookie;
    } else if ((flow->check ^ flow->cookie) == hash) {
        flow->check = 0;
        flow->cookie = 0;
    }
}

static __always_inline void note_flow4(const struct capture_key4 *key, __u64 cookie)
{
    __u32 ports = (__u32)bpf_ntohs(key->source_port) << 16 | bpf_ntohs(key->destination_port);
    note_flow(
        owner_hash(owner_seed[0], 0, bpf_ntohl(key->source), 0, bpf_ntohl(key->destination), ports, key->protocol),
        cookie);
}

static __always_inline __u64 two(const __u32 *words)
{
    return (__u64)bpf_ntohl(words[0]) << 32 | bpf_ntohl(words[1]);
}

static __always_inline void note_flow6(const struct capture_key6 *key, __u64 cookie)
{
    __u32 ports = (__u32)bpf_ntohs(key->source_port) << 16 | bpf_ntohs(key->destination_port);
    note_flow(
        owner_hash(
            owner_seed[0], two(key->source), two(key->source + 2), two(key->destination), two(key->destination + 2),
            ports, key->protocol),
        cookie);
}

/* The key of full mode: IPv4 addresses are mapped. */
static __always_inline void note_mapped(const struct capture_key6 *key, __u8 family, __u64 cookie)
{
    if (family == 6) {
        note_flow6(key, cookie);
    } else {
        struct capture_key4 four = {
            .source = key->source[3],
            .destination = key->destination[3],
            .source_port = key->source_port,
            .destination_port = key->destination_port,
            .protocol = key->protocol,
        };
        note_flow4(&four, cookie);
    }
}

#endif
