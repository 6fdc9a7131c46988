/* dns mode: queries, which are UDP and TCP to port 53. */
#ifndef WEBTUN_DNS_H
#define WEBTUN_DNS_H

enum { DNS_PORT = 53, QUERIES = 65536 };

/* Where queries were captured, in full mode too: what comes out of the TUN belongs there. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, QUERIES);
    __type(key, struct capture_key);
    __type(value, struct capture_flow);
} queries SEC(".maps");

static __always_inline bool is_dns(const struct segment *segment, __u16 port)
{
    return port == bpf_htons(DNS_PORT) &&
           (segment->key.protocol == IPPROTO_UDP || segment->key.protocol == IPPROTO_TCP);
}

static __always_inline bool same(const struct capture_flow *a, const struct capture_flow *b)
{
    const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;
    return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

/* Remembers where the flow belongs; an entry that says so already is left alone, as an update takes locks. */
static __always_inline void remember(const struct capture_key *key, const struct capture_flow *flow)
{
    struct capture_flow *known = bpf_map_lookup_elem(&queries, key);
    if (known && same(known, flow))
        return;
    if (bpf_map_update_elem(&queries, key, flow, BPF_ANY))
        COUNT(errors);
}

/* Takes DNS off the link and to the TUN; all else goes on. */
static __always_inline int capture(struct __sk_buff *skb, bool ether, __u8 kind)
{
    if (skb->mark == config.mark) {
        COUNT(passed);
        return NEXT;
    }
    _Alignas(8) struct capture_flow flow = {.kind = kind};
    struct segment segment = {};
    struct capture_key fragments;
    __u32 offset;
    __u16 protocol;
    if (!read_link(skb, ether, &flow, &offset, &protocol))
        return NEXT;
    read_segment(skb, offset, false, protocol, &segment);
    if (!segment.family)
        return NEXT;
    fragment_key(&segment, &fragments);
    if (segment.pieces.later) {
        if (!bpf_map_lookup_elem(&queries, &fragments))
            return NEXT;
    } else if (!segment.pieces.broken) {
        if (!is_dns(&segment, segment.key.destination_port))
            return NEXT;
        flow.ifindex = skb->ifindex;
        remember(&segment.key, &flow);
        note_flow(&segment.key, bpf_get_socket_cookie(skb));
        if (segment.pieces.fragment)
            remember(&fragments, &flow);
    }
    return take(skb, &flow, segment.pieces.fragment);
}

/* A packet that goes on its way as it was captured. Of a client: back to the ingress it came from, to be
 * routed as ever. Of this machine: to the neighbour, by the link. */
static __always_inline int forward(struct __sk_buff *skb, const struct capture_flow *flow)
{
    __u32 ifindex = flow->ifindex;
    skb->mark = config.mark;
    if (flow->kind == CAPTURE_SERVED) {
        if (flow->has_ether && !put_ether(skb, flow, false)) {
            COUNT(errors);
            return DROP;
        }
        COUNT(forwarded);
        return bpf_redirect(ifindex, BPF_F_INGRESS);
    }
    if (bpf_skb_change_head(skb, ETH_HLEN, 0)) {
        COUNT(errors);
        return DROP;
    }
    COUNT(forwarded);
    return bpf_redirect_neigh(ifindex, (void *)0, 0, 0);
}

static __always_inline int give_back(struct __sk_buff *skb)
{
    struct segment segment = {};
    struct capture_key key;
    struct capture_flow *flow;
    read_segment(skb, 0, false, skb->protocol, &segment);
    if (!segment.family || segment.pieces.broken) {
        COUNT(local);
        return NEXT;
    }
    if (segment.pieces.later) {
        fragment_key(&segment, &key);
    } else {
        key = segment.key;
        reverse_key(&key);
        flow = bpf_map_lookup_elem(&queries, &key);
        if (flow)
            return reply(skb, flow);
        key = segment.key;
    }
    flow = bpf_map_lookup_elem(&queries, &key);
    if (flow)
        return forward(skb, flow);
    COUNT(local);
    return NEXT;
}

#endif
