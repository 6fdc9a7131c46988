/* dns mode: queries, which are UDP and TCP to port 53. */
#ifndef WEBTUN_DNS_H
#define WEBTUN_DNS_H

enum { DNS_PORT = 53, FLOWS = 65536 };

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, FLOWS);
    __type(key, struct capture_key4);
    __type(value, struct capture_flow);
} flows4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, FLOWS);
    __type(key, struct capture_key6);
    __type(value, struct capture_flow);
} flows6 SEC(".maps");

/* A packet as far as the programs care. */
struct packet {
    __u8 family;   /* 4 or 6; 0: not IP, or nothing that could be looked at */
    struct pieces pieces;
    union {
        struct capture_key6 v6; /* first, so that {} clears the whole union */
        struct capture_key4 v4;
    };
};

static __always_inline bool has_ports(__u8 protocol)
{
    return protocol == IPPROTO_UDP || protocol == IPPROTO_TCP;
}

/* IPv4, RFC 791: any header length; first fragments have the ports, later ones only the identification. */
static __always_inline void parse4(struct __sk_buff *skb, __u32 offset, struct packet *packet)
{
    struct iphdr ip;
    if (!load(skb, offset, &ip, sizeof ip) || ip.ihl < 5 || !has_ports(ip.protocol))
        return;
    packet->family = 4;
    packet->v4.source = ip.saddr;
    packet->v4.destination = ip.daddr;
    packet->v4.protocol = ip.protocol;
    if (ip.frag_off & bpf_htons(0x3fff)) {
        packet->pieces.fragment = true;
        packet->pieces.identification = ip.id;
        if (ip.frag_off & bpf_htons(0x1fff)) {
            packet->pieces.later = true;
            return;
        }
    }
    if (!load(skb, offset + ip.ihl * 4, &packet->v4.source_port, 4))
        packet->pieces.broken = true;
}

static __always_inline void parse6(struct __sk_buff *skb, __u32 offset, struct packet *packet)
{
    struct ipv6hdr ip;
    if (!load(skb, offset, &ip, sizeof ip))
        return;
    __u8 next = ip.nexthdr;
    bool plain = has_ports(next);
    offset += sizeof ip;
    if (!plain) {
        offset = skip_extensions(skb, offset, &next, &packet->pieces);
        if (!packet->pieces.broken && !packet->pieces.later && !has_ports(next))
            return;
    }
    packet->family = 6;
    __builtin_memcpy(packet->v6.source, &ip.saddr, 16);
    __builtin_memcpy(packet->v6.destination, &ip.daddr, 16);
    packet->v6.protocol = packet->pieces.later ? 0 : next;
    if (packet->pieces.broken || packet->pieces.later)
        return;
    void *ports = &packet->v6.source_port;
    if (!(plain ? load(skb, offset, ports, 4) : load_far(skb, offset, ports, 4)))
        packet->pieces.broken = true;
}

static __always_inline void parse(struct __sk_buff *skb, __u32 offset, __u16 protocol, struct packet *packet)
{
    if (protocol == bpf_htons(ETH_P_IP))
        parse4(skb, offset, packet);
    else if (protocol == bpf_htons(ETH_P_IPV6))
        parse6(skb, offset, packet);
}

/* The key of the fragments that follow the first one of a datagram. */
static __always_inline void to_fragment(struct packet *packet)
{
    if (packet->family == 4) {
        packet->v4.fragment = 1;
        packet->v4.source_port = packet->pieces.identification;
        packet->v4.destination_port = 0;
    } else {
        packet->v6.fragment = 1;
        packet->v6.protocol = 0;
        packet->v6.source_port = packet->pieces.identification >> 16;
        packet->v6.destination_port = packet->pieces.identification & 0xffff;
    }
}

static __always_inline struct capture_flow *find(struct packet *packet)
{
    if (packet->family == 4)
        return bpf_map_lookup_elem(&flows4, &packet->v4);
    return bpf_map_lookup_elem(&flows6, &packet->v6);
}

static __always_inline bool same(const struct capture_flow *a, const struct capture_flow *b)
{
    const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;
    return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

/* Remembers where the flow belongs; an entry that says so already is left alone, as an update takes locks. */
static __always_inline void remember(struct packet *packet, struct capture_flow *flow)
{
    struct capture_flow *known = find(packet);
    if (known && same(known, flow))
        return;
    long failed = packet->family == 4 ? bpf_map_update_elem(&flows4, &packet->v4, flow, BPF_ANY)
                                      : bpf_map_update_elem(&flows6, &packet->v6, flow, BPF_ANY);
    if (failed)
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
    struct packet packet = {};
    __u32 offset;
    __u16 protocol;
    if (!read_link(skb, ether, &flow, &offset, &protocol))
        return NEXT;
    parse(skb, offset, protocol, &packet);
    if (!packet.family)
        return NEXT;
    if (packet.pieces.later) {
        to_fragment(&packet);
        if (!find(&packet))
            return NEXT;
    } else if (!packet.pieces.broken) {
        __u16 port = packet.family == 4 ? packet.v4.destination_port : packet.v6.destination_port;
        if (port != bpf_htons(DNS_PORT))
            return NEXT;
        flow.ifindex = skb->ifindex;
        remember(&packet, &flow);
        if (packet.family == 4)
            note_flow4(&packet.v4, bpf_get_socket_cookie(skb));
        else
            note_flow6(&packet.v6, bpf_get_socket_cookie(skb));
        if (packet.pieces.fragment) {
            to_fragment(&packet);
            remember(&packet, &flow);
        }
    }
    return take(skb, &flow, packet.pieces.fragment);
}

static __always_inline void reverse(struct packet *packet)
{
    if (packet->family == 4) {
        struct capture_key4 *key = &packet->v4;
        __u32 address = key->source;
        key->source = key->destination;
        key->destination = address;
        __u16 port = key->source_port;
        key->source_port = key->destination_port;
        key->destination_port = port;
    } else {
        struct capture_key6 *key = &packet->v6;
        for (int i = 0; i < 4; i++) {
            __u32 word = key->source[i];
            key->source[i] = key->destination[i];
            key->destination[i] = word;
        }
        __u16 port = key->source_port;
        key->source_port = key->destination_port;
        key->destination_port = port;
    }
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
    struct packet packet = {};
    parse(skb, 0, skb->protocol, &packet);
    if (packet.family && !packet.pieces.broken) {
        struct capture_flow *flow;
        if (packet.pieces.later)
            to_fragment(&packet);
        else {
            reverse(&packet);
            flow = find(&packet);
            if (flow)
                return reply(skb, flow);
            reverse(&packet);
        }
        flow = find(&packet);
        if (flow)
            return forward(skb, flow);
    }
    COUNT(local);
    return NEXT;
}

#endif
