/* Reading packets and writing link headers: what the programs of both modes share. */
#ifndef WEBTUN_PARSE_H
#define WEBTUN_PARSE_H

enum { EXTENSION_HEADERS = 8 };

/* Verdicts of TCX (enum tcx_action_base): the next program of the hook, if any, decides; or the packet ends here. */
enum { NEXT = -1, DROP = 2 };

const volatile struct capture_config config SEC(".rodata.config") = {};

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

/* What the IP headers say of a packet that may be a fragment. */
struct pieces {
    bool broken;   /* headers that hide the ports: never let out */
    bool fragment; /* a fragment; `later`: not the first one */
    bool later;
    __u32 identification; /* of a fragment, network byte order */
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

/* The same by the helper alone, which takes any offset: the verifier need not follow how it came about. */
static __always_inline bool load_far(struct __sk_buff *skb, __u32 offset, void *to, __u32 length)
{
    return bpf_skb_load_bytes(skb, offset, to, length) == 0;
}

/* Walks the extension headers (RFC 8200 section 4). A chain that hides the ports is `broken`: RFC 7112 lets
 * a node drop a first fragment without its whole chain, and nothing sends more than a few headers. */
static __always_inline __u32 skip_extensions(struct __sk_buff *skb, __u32 offset, __u8 *next, struct pieces *pieces)
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
        case IPPROTO_AH:
        case IPPROTO_FRAGMENT:
            break;
        default:
            return offset;
        }
        if (bpf_skb_load_bytes(skb, offset, header, sizeof header)) {
            pieces->broken = true;
            return offset;
        }
        if (*next == IPPROTO_FRAGMENT) {
            /* One that is all there is of a packet is none (RFC 6946). */
            pieces->fragment = header[2] || (header[3] & 0xf9);
            pieces->later = header[2] || (header[3] & 0xf8);
            __builtin_memcpy(&pieces->identification, header + 4, 4);
            *next = header[0];
            offset += 8;
            if (pieces->later)
                return offset;
        } else {
            offset += *next == IPPROTO_AH ? (header[1] + 2) * 4 : (header[1] + 1) * 8;
            *next = header[0];
        }
    }
    pieces->broken = true;
    return offset;
}

/* Reads what stands before the IP header: `flow` gets the Ethernet header and the VLAN tag, `offset` and `protocol`
 * tell where the IP header is and which (network byte order; 0: not IP). `tagged`: the tag stands in the packet
 * itself. */
static __always_inline bool read_link(struct __sk_buff *skb, bool ether, struct capture_flow *flow, __u32 *offset,
                                      __u16 *protocol)
{
    __u16 tag[2] = {};
    if (!ether) {
        __u8 first[2];
        if (!load(skb, 0, first, sizeof first))
            return false;
        __u8 version = first[0] >> 4;
        *protocol = version == 4 ? bpf_htons(ETH_P_IP) : version == 6 ? bpf_htons(ETH_P_IPV6) : 0;
        *offset = 0;
        return true;
    }
    struct ethhdr header;
    if (!load(skb, 0, &header, sizeof header))
        return false;
    *offset = sizeof header;
    *protocol = header.h_proto;
    if (*protocol == bpf_htons(ETH_P_8021Q) || *protocol == bpf_htons(ETH_P_8021AD)) {
        if (!load(skb, *offset, tag, sizeof tag))
            return false;
        flow->vlan_proto = *protocol;
        flow->vlan_tci = bpf_ntohs(tag[0]);
        *protocol = tag[1];
        *offset += sizeof tag;
    } else if (skb->vlan_present) {
        flow->vlan_proto = skb->vlan_proto;
        flow->vlan_tci = skb->vlan_tci;
    }
    flow->has_ether = 1;
    __builtin_memcpy(flow->ether, header.h_source, 6);
    __builtin_memcpy(flow->ether + 6, header.h_dest, 6);
    __builtin_memcpy(flow->ether + 12, protocol, 2);
    return true;
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

/* Takes a packet that was captured to the TUN. */
static __always_inline int take(struct __sk_buff *skb, const struct capture_flow *flow, bool fragment)
{
    __u8 kind = flow->kind;
    if (fragment)
        COUNT(fragments);
    if (flow->vlan_proto && bpf_skb_vlan_pop(skb)) {
        COUNT(errors);
        return DROP;
    }
    if (kind == CAPTURE_SERVED)
        COUNT(served);
    else
        COUNT(captured);
    return bpf_redirect(config.tun, 0);
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

#endif
