/* What an IP packet says of itself: the key of its flow, and what the programs of both modes decide by. */
#ifndef WEBTUN_SEGMENT_H
#define WEBTUN_SEGMENT_H

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* A packet as the programs see it. `key` is that of its flow, in the direction of the packet. */
struct segment {
    struct capture_key key;
    struct pieces pieces;
    __u32 bytes;    /* of the IP packet */
    __u32 payload;  /* offset of what follows TCP's or UDP's header; else that of the transport header */
    __u8 family;    /* 4, 6, or 0: not IP */
    __u8 tcp;       /* flags */
    __u8 icmp;      /* type */
};

static __always_inline bool is_icmp(const struct segment *segment)
{
    return segment->key.protocol == (segment->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

static __always_inline bool is_echo(const struct segment *segment, bool reply)
{
    return is_icmp(segment) && segment->icmp == (segment->family == 4 ? (reply ? 0 : 8) : (reply ? 129 : 128));
}

/* Errors, neighbour discovery and its kin, answers to echoes: part of no flow of this side, never held up. */
static __always_inline bool is_signal(const struct segment *segment)
{
    if (!is_icmp(segment))
        return false;
    if (segment->family == 4)
        return segment->icmp != 8 && segment->icmp != 13; /* echo, timestamp */
    return segment->icmp != 128;
}

/* An ICMP error, which carries the head of the packet it is about (RFC 792; RFC 4443: types below 128). */
static __always_inline bool is_error(const struct segment *segment)
{
    if (!is_icmp(segment))
        return false;
    if (segment->family == 6)
        return segment->icmp < 128;
    return segment->icmp == 3 || segment->icmp == 4 || segment->icmp == 5 || segment->icmp == 11 || segment->icmp == 12;
}

#define LOAD(offset, to, length) (far ? load_far(skb, offset, to, length) : load(skb, offset, to, length))

/* `far`: at an offset that is not known to be small. */
static __always_inline void read_transport(struct __sk_buff *skb, __u32 offset, bool far, struct segment *segment)
{
    segment->payload = offset;
    if (segment->key.protocol == IPPROTO_TCP) {
        __u8 rest[2];
        if (!LOAD(offset, &segment->key.source_port, 4)) {
            segment->pieces.broken = true;
            return;
        }
        segment->payload = offset + 20;
        if (LOAD(offset + 12, rest, sizeof rest)) {
            segment->payload = offset + (rest[0] >> 4) * 4;
            segment->tcp = rest[1];
        }
    } else if (segment->key.protocol == IPPROTO_UDP) {
        if (!LOAD(offset, &segment->key.source_port, 4))
            segment->pieces.broken = true;
        segment->payload = offset + 8;
    } else if (is_icmp(segment)) {
        __u8 head[6];
        if (!LOAD(offset, head, sizeof head))
            return;
        segment->icmp = head[0];
        if (is_echo(segment, false))
            __builtin_memcpy(&segment->key.source_port, head + 4, 2);
        else if (is_echo(segment, true))
            __builtin_memcpy(&segment->key.destination_port, head + 4, 2);
    }
}

/* Reads the packet whose IP header is at `offset`. What is not IP, or cut, has family 0. */
static __always_inline void read_segment(struct __sk_buff *skb, __u32 offset, bool far, __u16 protocol,
                                         struct segment *segment)
{
    struct capture_key *key = &segment->key;
    if (protocol == bpf_htons(ETH_P_IP)) {
        struct iphdr ip;
        if (!LOAD(offset, &ip, sizeof ip) || ip.ihl < 5)
            return;
        segment->family = 4;
        key->source[2] = key->destination[2] = bpf_htonl(0xffff);
        key->source[3] = ip.saddr;
        key->destination[3] = ip.daddr;
        key->protocol = ip.protocol;
        segment->bytes = bpf_ntohs(ip.tot_len);
        segment->pieces.fragment = ip.frag_off & bpf_htons(0x3fff);
        segment->pieces.later = ip.frag_off & bpf_htons(0x1fff);
        segment->pieces.identification = ip.id;
        key->version = 4;
        if (!segment->pieces.later)
            read_transport(skb, offset + ip.ihl * 4, far, segment);
    } else if (protocol == bpf_htons(ETH_P_IPV6)) {
        struct ipv6hdr ip;
        if (!LOAD(offset, &ip, sizeof ip))
            return;
        __u8 next = ip.nexthdr;
        segment->family = 6;
        __builtin_memcpy(key->source, &ip.saddr, 16);
        __builtin_memcpy(key->destination, &ip.daddr, 16);
        segment->bytes = bpf_ntohs(ip.payload_len) + sizeof ip;
        offset += sizeof ip;
        key->version = 6;
        key->protocol = next;
        if (next == IPPROTO_TCP || next == IPPROTO_UDP || next == IPPROTO_ICMPV6) {
            read_transport(skb, offset, far, segment);
            return;
        }
        offset = skip_extensions(skb, offset, &next, &segment->pieces);
        key->protocol = next;
        if (!segment->pieces.later && !segment->pieces.broken)
            read_transport(skb, offset, true, segment);
    }
}

static __always_inline void reverse_key(struct capture_key *key)
{
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        __u32 word = key->source[i];
        key->source[i] = key->destination[i];
        key->destination[i] = word;
    }
    __u16 port = key->source_port;
    key->source_port = key->destination_port;
    key->destination_port = port;
}

/* Copies a key and makes it that of the datagram's fragments. */
static __always_inline void fragment_key(const struct segment *segment, struct capture_key *key)
{
    *key = segment->key;
    key->fragment = 1;
    /* IPv6 tells the protocol in the first one only, for sure. */
    key->protocol = segment->family == 4 ? key->protocol : 0;
    key->source_port = segment->pieces.identification >> 16;
    key->destination_port = segment->pieces.identification & 0xffff;
}

#endif
