/* The fast path of full mode: the packets of flows that are settled, which is most of all traffic, and all that is done for
 * them. What begins or ends a connection, and whatever looks unusual, goes the long way (full.h), which decides the same. */
#ifndef WEBTUN_FAST_H
#define WEBTUN_FAST_H

/* A TCP segment or UDP datagram in one piece, without IP options or extension headers, that neither begins nor ends
 * anything. `key` is in the direction of the packet. */
struct plain {
    struct capture_key key;
    __u32 bytes;   /* of the IP packet, as its header says */
    __u32 headers; /* link's, IP's and TCP's or UDP's */
};

/* Reads the ports and what else is needed of the header at `place`, `offset` bytes into the packet. */
static __always_inline bool read_plain_transport(const void *place, const void *end, __u32 offset, struct plain *plain)
{
    if (place + sizeof(struct udphdr) > end)
        return false;
    copy(&plain->key.source_port, place, 4);
    plain->headers = offset + sizeof(struct udphdr);
    if (plain->key.protocol == IPPROTO_UDP)
        return true;
    if (plain->key.protocol != IPPROTO_TCP || place + 20 > end)
        return false;
    const __u8 *tcp = place;
    plain->headers = offset + (tcp[12] >> 4) * 4;
    return !(tcp[13] & (TCP_SYN | TCP_FIN | TCP_RST));
}

static __always_inline bool read_plain(struct __sk_buff *skb, bool ether, struct plain *plain)
{
    const void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    __u32 link = ether ? ETH_HLEN : 0;
    __u16 protocol = skb->protocol;

    if (data + link + sizeof(struct iphdr) > end)
        return false;
    if (ether)
        protocol = ((const struct ethhdr *)data)->h_proto;
    if (protocol == bpf_htons(ETH_P_IP)) {
        const struct iphdr *ip = data + link;
        if (*(const __u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
            return false;
        plain->key.source[0] = plain->key.source[1] = plain->key.destination[0] = plain->key.destination[1] = 0;
        plain->key.source[2] = plain->key.destination[2] = bpf_htonl(0xffff);
        plain->key.source[3] = ip->saddr;
        plain->key.destination[3] = ip->daddr;
        plain->key.protocol = ip->protocol;
        plain->key.version = 4;
        plain->bytes = bpf_ntohs(ip->tot_len);
        link += sizeof *ip;
    } else if (protocol == bpf_htons(ETH_P_IPV6)) {
        const struct ipv6hdr *ip = data + link;
        if ((const void *)(ip + 1) > end)
            return false;
        copy(plain->key.source, &ip->saddr, 32);
        plain->key.protocol = ip->nexthdr;
        plain->key.version = 6;
        plain->bytes = bpf_ntohs(ip->payload_len) + sizeof *ip;
        link += sizeof *ip;
    } else {
        return false;
    }
    plain->key.fragment = 0;
    return read_plain_transport(data + link, end, link, plain);
}

/* Whether the packet was of a flow that the kernel carries: it is counted, and has only to go on. */
static __always_inline bool fast_out(struct __sk_buff *skb, bool ether)
{
    struct plain plain;
    if (!read_plain(skb, ether, &plain))
        return false;
    struct capture_track *flow = bpf_map_lookup_elem(&flows, &plain.key);
    const struct capture_control *now = present();
    if (!flow || !now || !is_allowed(flow, now))
        return false;
    /* Another socket may have these ports by now. */
    if (plain.key.protocol == IPPROTO_UDP && is_silent(flow, time_of(now)))
        return false;
    add(skb, flow, plain.bytes, ether ? ETH_HLEN : 0, plain.headers, time_of(now), true);
    return true;
}

/* The same for the other direction. */
static __always_inline bool fast_in(struct __sk_buff *skb, bool ether)
{
    struct plain plain;
    if (!read_plain(skb, ether, &plain))
        return false;
    reverse_key(&plain.key);
    struct capture_track *flow = bpf_map_lookup_elem(&flows, &plain.key);
    if (!flow)
        return false;
    if (is_counted_here(skb, flow))
        add(skb, flow, plain.bytes, ether ? ETH_HLEN : 0, plain.headers, coarse_time(), false);
    return true;
}

#endif
