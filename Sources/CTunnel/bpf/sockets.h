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

static __always_inline __u64 two(const __u32 *words)
{
    return (__u64)bpf_ntohl(words[0]) << 32 | bpf_ntohl(words[1]);
}

/* Remembers the socket of a flow; `cookie` 0: it has none, as the packet is another machine's. */
static __always_inline void note_flow(const struct capture_key *key, __u64 cookie)
{
    bool six = key->version == 6;
    __u64 hash = owner_hash(
        owner_seed[0], six ? two(key->source) : 0, six ? two(key->source + 2) : bpf_ntohl(key->source[3]),
        six ? two(key->destination) : 0, six ? two(key->destination + 2) : bpf_ntohl(key->destination[3]),
        (__u32)bpf_ntohs(key->source_port) << 16 | bpf_ntohs(key->destination_port), key->protocol);
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

#endif
