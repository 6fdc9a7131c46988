/* The TCX programs of the link back end: DNS of captured and served links goes to the TUN, and what webtun writes to
 * the TUN goes back where it belongs. Compiled by scripts/bpf-header into capture.bpf.h.
 *
 *   egress_ether, egress_bare     egress of a captured link, with and without an Ethernet header
 *   ingress_ether, ingress_bare   ingress of a served link
 *   tun_ingress                   ingress of the TUN
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flows.bpf.h"

char _license[] SEC("license") = "GPL";

enum { DNS_PORT = 53, FLOWS = 65536, EXTENSION_HEADERS = 8 };

/* Verdicts of TCX (enum tcx_action_base): the next program of the hook, if any, decides; or the packet ends here. */
enum { NEXT = -1, DROP = 2 };

const volatile struct capture_config config SEC(".rodata.config") = {};

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

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct capture_counters);
} counters SEC(".maps");

#define COUNT(field)                                                            \
    do {                                                                        \
        __u32 zero = 0;                                                         \
        struct capture_counters *counter = bpf_map_lookup_elem(&counters, &zero); \
        if (counter)                                                            \
            counter->field++;                                                   \
    } while (0)

/* A packet as far as the programs care. */
struct packet {
    __u8 family;   /* 4 or 6; 0: not IP, or nothing that could be looked at */
    bool broken;   /* headers that hide the ports: never let out */
    bool fragment; /* a fragment; `later`: not the first one */
    bool later;
    __u32 identification; /* of a fragment, network byte order */
    union {
        struct capture_key6 v6; /* first, so that {} clears the whole union */
        struct capture_key4 v4;
    };
};

/* By words, where memcpy would go byte by byte for fear of the alignment. `length` is a constant and even. */
static __always_inline void copy(void *to, const void *from, __u32 length)
{
    __u32 i = 0;
    for (; i + 4 <= length; i += 4)
        *(__u32 *)(to + i) = *(const __u32 *)(from + i);
    if (i < length)
        *(__u16 *)(to + i) = *(const __u16 *)(from + i);
}

/* Copies `length` (a constant) bytes at `offset`; the slow way when they are not in the linear part. */
static __always_inline bool load(struct __sk_buff *skb, __u32 offset, void *to, __u32 length)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    if (data + offset + length <= end) {
        copy(to, data + offset, length);
        return true;
    }
    return bpf_skb_load_bytes(skb, offset, to, length) == 0;
}

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
        packet->fragment = true;
        packet->identification = ip.id;
        if (ip.frag_off & bpf_htons(0x1fff)) {
            packet->later = true;
            return;
        }
    }
    if (!load(skb, offset + ip.ihl * 4, &packet->v4.source_port, 4))
        packet->broken = true;
}

/* Walks the extension headers (RFC 8200 section 4). A chain that hides the ports is `broken`: RFC 7112 lets
 * a node drop a first fragment without its whole chain, and nothing sends more than a few headers. */
static __always_inline __u32 skip_extensions(struct __sk_buff *skb, __u32 offset, __u8 *next, struct packet *packet)
{
#pragma clang loop unroll(disable)
    for (int i = 0; i < EXTENSION_HEADERS; i++) {
        __u8 header[8];
        switch (*next) {
        case IPPROTO_HOPOPTS:
        case IPPROTO_ROUTING:
        case IPPROTO_DSTOPTS:
        case 135: /* Mobility, RFC 6275 */
        case 139: /* HIP, RFC 7401 */
        case 140: /* Shim6, RFC 5533 */
        case IPPROTO_FRAGMENT:
            break;
        default:
            return offset;
        }
        if (bpf_skb_load_bytes(skb, offset, header, sizeof header)) {
            packet->broken = true;
            return offset;
        }
        if (*next == IPPROTO_FRAGMENT) {
            packet->fragment = true;
            __builtin_memcpy(&packet->identification, header + 4, 4);
            packet->later = header[2] || (header[3] & 0xf8);
            *next = header[0];
            offset += 8;
            if (packet->later)
                return offset;
        } else {
            *next = header[0];
            offset += (header[1] + 1) * 8;
        }
    }
    packet->broken = true;
    return offset;
}

static __always_inline void parse6(struct __sk_buff *skb, __u32 offset, struct packet *packet)
{
    struct ipv6hdr ip;
    if (!load(skb, offset, &ip, sizeof ip))
        return;
    __u8 next = ip.nexthdr;
    offset += sizeof ip;
    if (!has_ports(next)) {
        offset = skip_extensions(skb, offset, &next, packet);
        if (!packet->broken && !packet->later && !has_ports(next))
            return;
    }
    packet->family = 6;
    __builtin_memcpy(packet->v6.source, &ip.saddr, 16);
    __builtin_memcpy(packet->v6.destination, &ip.daddr, 16);
    packet->v6.protocol = packet->later ? 0 : next;
    if (packet->broken || packet->later)
        return;
    if (offset > 0x7fff || !load(skb, offset, &packet->v6.source_port, 4))
        packet->broken = true;
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
        packet->v4.source_port = packet->identification;
        packet->v4.destination_port = 0;
    } else {
        packet->v6.fragment = 1;
        packet->v6.protocol = 0;
        packet->v6.source_port = packet->identification >> 16;
        packet->v6.destination_port = packet->identification & 0xffff;
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

/* Remembers which socket of this machine a packet is from, if any. */
static __always_inline void note(struct __sk_buff *skb, const struct packet *packet)
{
    __u64 cookie = bpf_get_socket_cookie(skb);
    if (packet->family == 4)
        note_flow4(&packet->v4, cookie);
    else
        note_flow6(&packet->v6, cookie);
}

/* Takes DNS off the link and to the TUN; all else goes on. */
static __always_inline int capture(struct __sk_buff *skb, bool ether, __u8 kind)
{
    if (skb->mark == config.mark) {
        COUNT(passed);
        return NEXT;
    }
    struct capture_flow flow = {.kind = kind};
    struct packet packet = {};
    __u32 offset = 0;
    __u16 protocol, tag[2] = {};
    if (ether) {
        struct ethhdr header;
        if (!load(skb, 0, &header, sizeof header))
            return NEXT;
        offset = sizeof header;
        protocol = header.h_proto;
        if (protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD)) {
            if (!load(skb, offset, tag, sizeof tag))
                return NEXT;
            flow.vlan_proto = protocol;
            flow.vlan_tci = bpf_ntohs(tag[0]);
            protocol = tag[1];
            offset += sizeof tag;
        } else if (skb->vlan_present) {
            flow.vlan_proto = skb->vlan_proto;
            flow.vlan_tci = skb->vlan_tci;
        }
        flow.has_ether = 1;
        __builtin_memcpy(flow.ether, header.h_source, 6);
        __builtin_memcpy(flow.ether + 6, header.h_dest, 6);
        __builtin_memcpy(flow.ether + 12, &protocol, 2);
    } else {
        __u8 first[2];
        if (!load(skb, 0, first, sizeof first))
            return NEXT;
        __u8 version = first[0] >> 4;
        protocol = version == 4 ? bpf_htons(ETH_P_IP) : version == 6 ? bpf_htons(ETH_P_IPV6) : 0;
    }

    parse(skb, offset, protocol, &packet);
    if (!packet.family)
        return NEXT;
    if (packet.later) {
        to_fragment(&packet);
        if (!find(&packet))
            return NEXT;
    } else if (!packet.broken) {
        __u16 port = packet.family == 4 ? packet.v4.destination_port : packet.v6.destination_port;
        if (port != bpf_htons(DNS_PORT))
            return NEXT;
        flow.ifindex = skb->ifindex;
        remember(&packet, &flow);
        note(skb, &packet);
        if (packet.fragment) {
            to_fragment(&packet);
            remember(&packet, &flow);
        }
    }

    if (packet.fragment)
        COUNT(fragments);
    if (flow.vlan_proto && bpf_skb_vlan_pop(skb)) {
        COUNT(errors);
        return DROP;
    }
    if (kind == CAPTURE_SERVED)
        COUNT(served);
    else
        COUNT(captured);
    return bpf_redirect(config.tun, 0);
}

SEC("tc") int egress_ether(struct __sk_buff *skb) { return capture(skb, true, CAPTURE_EGRESS); }
SEC("tc") int egress_bare(struct __sk_buff *skb) { return capture(skb, false, CAPTURE_EGRESS); }
SEC("tc") int ingress_ether(struct __sk_buff *skb) { return capture(skb, true, CAPTURE_SERVED); }
SEC("tc") int ingress_bare(struct __sk_buff *skb) { return capture(skb, false, CAPTURE_SERVED); }

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

/* Puts an Ethernet header and a VLAN tag before the packet as `flow` had them. `towards`: as in a reply, else as
 * in the packet that was captured. */
static __always_inline bool put_ether(struct __sk_buff *skb, const struct capture_flow *flow, bool towards)
{
    if (bpf_skb_change_head(skb, ETH_HLEN, 0))
        return false;
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    if (data + ETH_HLEN > end)
        return false;
    struct ethhdr *header = data;
    __builtin_memcpy(header->h_dest, flow->ether + (towards ? 0 : 6), 6);
    __builtin_memcpy(header->h_source, flow->ether + (towards ? 6 : 0), 6);
    __builtin_memcpy(&header->h_proto, flow->ether + 12, 2);
    return !flow->vlan_proto || bpf_skb_vlan_push(skb, flow->vlan_proto, flow->vlan_tci) == 0;
}

/* An answer to the application or client whose flow this is. */
static __always_inline int reply(struct __sk_buff *skb, const struct capture_flow *flow)
{
    __u32 ifindex = flow->ifindex;
    bool served = flow->kind == CAPTURE_SERVED;
    if (flow->has_ether && !put_ether(skb, flow, true)) {
        COUNT(errors);
        return DROP;
    }
    if (served)
        skb->mark = config.mark; /* the link's egress may be captured too */
    COUNT(replied);
    return bpf_redirect(ifindex, served ? 0 : BPF_F_INGRESS);
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

SEC("tc") int tun_ingress(struct __sk_buff *skb)
{
    struct packet packet = {};
    parse(skb, 0, skb->protocol, &packet);
    if (packet.family && !packet.broken) {
        struct capture_flow *flow;
        if (packet.later)
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
