/* Full mode: all unicast of captured links goes to the TUN but for what is excluded, what the far side began, and
 * flows whose verdict is to be left alone. */
#ifndef WEBTUN_FULL_H
#define WEBTUN_FULL_H

/* For many, or for neighbours only: none of webtun's business. */
static __always_inline bool is_link_scope(const struct segment *segment, const struct capture_flow *where)
{
    if (where->has_ether && (where->ether[6] & 1))
        return true;
    if (segment->family == 4) {
        __u32 address = bpf_ntohl(segment->key.destination[3]);
        return address >> 28 == 0xe || address == 0xffffffff || address >> 16 == 0xa9fe;
    }
    __u32 address = bpf_ntohl(segment->key.destination[0]);
    return address >> 24 == 0xff || address >> 22 == 0xfe80 >> 6;
}

static __always_inline void remember_fragments(const struct segment *segment, const struct capture_flow *where,
                                               const struct capture_key *flow, bool passed)
{
    struct capture_key key;
    struct capture_fragments value = {.flow = *flow, .where = *where, .passed = passed};
    fragment_key(segment, &key);
    if (bpf_map_update_elem(&fragments, &key, &value, BPF_ANY))
        COUNT(errors);
}

/* What is left alone carries webtun's mark when it comes from a client, as the link by which it leaves may be
 * captured too. */
static __always_inline int leave_alone(struct __sk_buff *skb, __u8 kind)
{
    COUNT(allowed);
    if (kind == CAPTURE_SERVED)
        skb->mark = config.mark;
    return NEXT;
}

/* A fragment after the first shares the first one's fate. Without a first one nobody can make anything of it. */
static __always_inline int capture_later(struct __sk_buff *skb, const struct segment *segment,
                                         const struct capture_flow *where, __u32 link)
{
    struct capture_key key;
    fragment_key(segment, &key);
    struct capture_fragments *datagram = bpf_map_lookup_elem(&fragments, &key);
    if (!datagram)
        return NEXT;
    key = datagram->flow;
    bool passed = datagram->passed;
    struct capture_track *flow = bpf_map_lookup_elem(&flows, &key);
    if (flow) {
        count(skb, segment, flow, link, true);
        passed = passed && is_allowed(flow, present());
    }
    return passed ? leave_alone(skb, where->kind) : take(skb, where, true);
}

static __always_inline bool opens(const struct segment *segment)
{
    return segment->key.protocol == IPPROTO_TCP && (segment->tcp & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Whether this machine sent the segment, and listens at the port it leaves from. */
static __always_inline bool is_listening(struct __sk_buff *skb, const struct segment *segment)
{
    if (skb->ingress_ifindex)
        return false;
    struct bpf_sock_tuple tuple = {};
    const struct capture_key *key = &segment->key;
    struct bpf_sock *sock;
    /* No port 0 is connected: what is found listens. */
    if (segment->family == 4) {
        tuple.ipv4.saddr = key->destination[3];
        tuple.ipv4.daddr = key->source[3];
        tuple.ipv4.dport = key->source_port;
        sock = bpf_sk_lookup_tcp(skb, &tuple, sizeof tuple.ipv4, BPF_F_CURRENT_NETNS, 0);
    } else {
        __builtin_memcpy(tuple.ipv6.saddr, key->destination, 16);
        __builtin_memcpy(tuple.ipv6.daddr, key->source, 16);
        tuple.ipv6.dport = key->source_port;
        sock = bpf_sk_lookup_tcp(skb, &tuple, sizeof tuple.ipv6, BPF_F_CURRENT_NETNS, 0);
    }
    if (!sock)
        return false;
    bpf_sk_release(sock);
    return true;
}

/* Whether the packet answers a flow that the far side began. A SYN never does. A segment in the middle of a
 * connection that nobody remembers does when this machine listens there: the connection is older than the capture,
 * or was pushed out of the table. */
static __always_inline bool answers(struct __sk_buff *skb, const struct segment *segment)
{
    bool known = bpf_map_lookup_elem(&inbound, &segment->key);
    if (opens(segment)) {
        if (known)
            bpf_map_delete_elem(&inbound, &segment->key);
        return false;
    }
    if (known || segment->key.protocol != IPPROTO_TCP || !is_listening(skb, segment))
        return known;
    __u32 value = 1;
    bpf_map_update_elem(&inbound, &segment->key, &value, BPF_ANY);
    return true;
}

/* Whether the packet begins another flow with the addresses and ports of one that was. */
static __always_inline bool begins_anew(const struct segment *segment, const struct capture_track *flow, __u64 cookie)
{
    bool other = cookie && flow->cookie && cookie != flow->cookie;
    if (segment->key.protocol == IPPROTO_TCP)
        return opens(segment) && (other || is_closed(flow));
    return other && is_silent(flow, coarse_time());
}

static __always_inline void begin_anew(struct capture_track *flow, __u64 cookie)
{
    flow->verdict = CAPTURE_UNDECIDED;
    flow->flags = 0;
    flow->cookie = cookie;
    flow->packets_out = flow->bytes_out = flow->packets_in = flow->bytes_in = flow->seen_in = 0;
    flow->began = coarse_time();
}

/* Enters a flow into the table. */
static __always_inline struct capture_track *enter(const struct segment *segment, const struct capture_flow *where,
                                                   __u64 cookie)
{
    struct capture_track track = {.where = *where, .cookie = cookie, .began = coarse_time()};
    bpf_map_update_elem(&flows, &segment->key, &track, BPF_NOEXIST);
    return bpf_map_lookup_elem(&flows, &segment->key);
}

static __always_inline int full_capture(struct __sk_buff *skb, bool ether, __u8 kind)
{
    if (skb->mark == config.mark) {
        COUNT(passed);
        return NEXT;
    }
    if (fast_out(skb, ether))
        return leave_alone(skb, kind);
    _Alignas(8) struct capture_flow where = {.kind = kind, .ifindex = skb->ifindex};
    struct segment segment = {};
    __u32 link = 0;
    __u16 protocol = 0;
    if (!read_link(skb, ether, &where, &link, &protocol))
        return NEXT;
    read_segment(skb, link, false, protocol, &segment);
    if (!segment.family)
        return NEXT;
    if (segment.pieces.broken)
        return take(skb, &where, segment.pieces.fragment);
    if (segment.pieces.later)
        return capture_later(skb, &segment, &where, link);
    if (is_dns(&segment, segment.key.destination_port)) {
        remember(&segment.key, &where);
        note_flow(&segment.key, bpf_get_socket_cookie(skb));
        if (segment.pieces.fragment)
            remember_fragments(&segment, &where, &segment.key, false);
        return take(skb, &where, segment.pieces.fragment);
    }

    __u64 cookie = bpf_get_socket_cookie(skb);
    struct capture_track *flow = bpf_map_lookup_elem(&flows, &segment.key);
    if (flow && begins_anew(&segment, flow, cookie))
        begin_anew(flow, cookie);
    bool allowed = flow && is_allowed(flow, present());
    if (!allowed) {
        if (is_link_scope(&segment, &where) || is_signal(&segment))
            return NEXT;
        if (!flow && answers(skb, &segment)) {
            COUNT(inbound);
            return NEXT;
        }
        if (has_prefix(&exclude, &segment) || !has_prefix(&include, &segment)) {
            COUNT(excluded);
            return NEXT;
        }
        if (!flow)
            flow = enter(&segment, &where, cookie);
        else if (!same(&flow->where, &where))
            flow->where = where;
    }
    if (!flow) {
        COUNT(errors);
        return DROP; /* nobody could say where it belongs when it came back */
    }
    if (!allowed)
        note_flow(&segment.key, cookie);
    count(skb, &segment, flow, link, true);
    if (segment.pieces.fragment)
        remember_fragments(&segment, &where, &segment.key, allowed);
    return allowed ? leave_alone(skb, kind) : take(skb, &where, segment.pieces.fragment);
}

/* Whether the far side begins a flow with this packet, whose key is that of the answers. TCP says so itself. Of the
 * others, what goes from a well-known port to one that the kernel picks for clients answers something, whatever
 * became of that flow. */
static __always_inline bool begins_inbound(const struct segment *segment)
{
    if (segment->key.protocol == IPPROTO_TCP)
        return opens(segment);
    if (segment->key.protocol == IPPROTO_UDP)
        return !(bpf_ntohs(segment->key.source_port) >= 32768 && bpf_ntohs(segment->key.destination_port) < 32768);
    return !is_icmp(segment);
}

/* The other direction: counts what answers a flow, and remembers flows that the far side begins. Nothing is held up. */
static __always_inline int full_return(struct __sk_buff *skb, bool ether)
{
    if (skb->mark == config.mark || fast_in(skb, ether))
        return NEXT;
    _Alignas(8) struct capture_flow where = {};
    struct segment segment = {};
    __u32 link = 0;
    __u16 protocol = 0;
    if (!read_link(skb, ether, &where, &link, &protocol))
        return NEXT;
    read_segment(skb, link, false, protocol, &segment);
    if (!segment.family || segment.pieces.broken)
        return NEXT;
    struct capture_track *flow;
    struct capture_key key;
    if (segment.pieces.later) {
        fragment_key(&segment, &key);
        struct capture_fragments *datagram = bpf_map_lookup_elem(&fragments, &key);
        if (!datagram)
            return NEXT;
        key = datagram->flow;
        flow = bpf_map_lookup_elem(&flows, &key);
        if (flow && is_counted_here(skb, flow))
            count(skb, &segment, flow, link, false);
        return NEXT;
    }
    if (is_link_scope(&segment, &where))
        return NEXT;
    if (segment.pieces.fragment)
        fragment_key(&segment, &key);
    reverse_key(&segment.key);
    flow = bpf_map_lookup_elem(&flows, &segment.key);
    if (!flow || (opens(&segment) && is_closed(flow))) {
        __u32 value = 1;
        if (!begins_inbound(&segment) || bpf_map_lookup_elem(&inbound, &segment.key))
            return NEXT;
        if (flow)
            bpf_map_delete_elem(&flows, &segment.key);
        bpf_map_update_elem(&inbound, &segment.key, &value, BPF_ANY);
        return NEXT;
    }
    if (is_counted_here(skb, flow))
        count(skb, &segment, flow, link, false);
    if (segment.pieces.fragment) {
        struct capture_fragments value = {.flow = segment.key, .where = where, .passed = 1};
        bpf_map_update_elem(&fragments, &key, &value, BPF_ANY);
    }
    return NEXT;
}

/* A packet that goes on its way, link header and all, as it was captured. A client's goes back to the ingress it
 * came from. */
static __always_inline int full_forward(struct __sk_buff *skb, const struct capture_flow *flow)
{
    __u32 ifindex = flow->ifindex;
    bool served = flow->kind == CAPTURE_SERVED;
    skb->mark = config.mark;
    if (flow->has_ether && !put_ether(skb, flow, false)) {
        COUNT(errors);
        return DROP;
    }
    COUNT(forwarded);
    return bpf_redirect(ifindex, served ? BPF_F_INGRESS : 0);
}

/* Whose packet an ICMP error of webtun's is about. */
static __always_inline struct capture_track *find_refused(struct __sk_buff *skb, const struct segment *error)
{
    struct segment inner = {};
    __u32 offset = error->payload + 8;
    read_segment(skb, offset, true, skb->protocol, &inner);
    if (!inner.family || inner.pieces.later)
        return 0;
    return bpf_map_lookup_elem(&flows, &inner.key);
}

static __always_inline int give_back_later(struct __sk_buff *skb, const struct segment *segment)
{
    struct capture_key key;
    fragment_key(segment, &key);
    struct capture_fragments *datagram = bpf_map_lookup_elem(&fragments, &key);
    if (!datagram) {
        COUNT(local);
        return NEXT;
    }
    if (!datagram->passed)
        return DROP; /* the first one was kept back */
    return full_forward(skb, &datagram->where);
}

static __always_inline int full_give_back(struct __sk_buff *skb)
{
    struct segment segment = {};
    read_segment(skb, 0, false, skb->protocol, &segment);
    if (!segment.family || segment.pieces.broken) {
        COUNT(local);
        return NEXT;
    }
    if (segment.pieces.later)
        return give_back_later(skb, &segment);
    if (is_dns(&segment, segment.key.source_port) || is_dns(&segment, segment.key.destination_port)) {
        struct capture_key key = segment.key;
        reverse_key(&key);
        struct capture_flow *where = bpf_map_lookup_elem(&queries, &key);
        if (where)
            return reply(skb, where);
        where = bpf_map_lookup_elem(&queries, &segment.key);
        if (where)
            return full_forward(skb, where);
    }
    /* Forwards first: of a flow between two links, both directions may have been captured. */
    struct capture_track *flow = bpf_map_lookup_elem(&flows, &segment.key);
    if (flow) {
        if (segment.pieces.fragment)
            remember_fragments(&segment, &flow->where, &segment.key, true);
        return full_forward(skb, &flow->where);
    }
    if (is_error(&segment)) {
        flow = find_refused(skb, &segment);
    } else {
        reverse_key(&segment.key);
        flow = bpf_map_lookup_elem(&flows, &segment.key);
    }
    if (flow)
        return reply(skb, &flow->where);
    COUNT(local);
    return NEXT;
}

#endif
