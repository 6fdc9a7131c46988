/* Full mode: the table of flows, what is counted in it, and what a packet says of its flow. */
#ifndef WEBTUN_FLOWS_H
#define WEBTUN_FLOWS_H

enum { TRACKED = 131072, INBOUND = 32768, DATAGRAMS = 8192, PREFIXES = 65536 };

/* Flows that left by a captured link, or came from a client. The daemon sets the size. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, TRACKED);
    __type(key, struct capture_key);
    __type(value, struct capture_track);
} flows SEC(".maps");

/* Flows that the far side began, by the key of what answers them. A table of their own, so that they cannot push out
 * others. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, INBOUND);
    __type(key, struct capture_key);
    __type(value, __u32);
} inbound SEC(".maps");

/* Datagrams in fragments: which flow they belong to. The key has the identification in the place of the ports. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, DATAGRAMS);
    __type(key, struct capture_key);
    __type(value, struct capture_fragments);
} fragments SEC(".maps");

#define PREFIX_MAP(name)                         \
    struct {                                     \
        __uint(type, BPF_MAP_TYPE_LPM_TRIE);     \
        __uint(max_entries, PREFIXES);           \
        __uint(map_flags, BPF_F_NO_PREALLOC);    \
        __type(key, struct capture_prefix);      \
        __type(value, __u32);                    \
    } name SEC(".maps")
PREFIX_MAP(include);
PREFIX_MAP(exclude);

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct capture_control);
} control SEC(".maps");

/* Nanoseconds of CLOCK_MONOTONIC, up to two ticks behind. The verifier makes a load of bpf_jiffies64 where bpf_ktime_get_coarse_ns stays a
 * call, which costs as much as half of what else a packet of the fast path needs. */
static __always_inline __u64 time_of(const struct capture_control *now)
{
    return bpf_jiffies64() * config.tick + now->offset;
}

static __always_inline const struct capture_control *present(void)
{
    __u32 zero = 0;
    return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline __u64 coarse_time(void)
{
    const struct capture_control *now = present();
    return now ? time_of(now) : 0;
}

/* Counts a packet in its flow, in packets and bytes of the wire. `bytes`: of the IP packet; `link`: those before the IP
 * header; `headers`: up to the end of TCP's or UDP's header. */
static __always_inline void add(struct __sk_buff *skb, struct capture_track *flow, __u64 bytes, __u32 link, __u32 headers,
                                __u64 now, bool out)
{
    __u64 packets = 1;
    __u32 size = skb->gso_size, length = skb->len;
    if (size) {
        if (length > headers)
            packets = (length - headers + size - 1) / size;
        bytes = length - link + (packets - 1) * (headers - link);
    }
    if (out) {
        __sync_fetch_and_add(&flow->packets_out, packets);
        __sync_fetch_and_add(&flow->bytes_out, bytes);
        flow->seen_out = now;
    } else {
        __sync_fetch_and_add(&flow->packets_in, packets);
        __sync_fetch_and_add(&flow->bytes_in, bytes);
        flow->seen_in = now;
    }
}

/* The same, with what ends a connection. */
static __always_inline void count(struct __sk_buff *skb, const struct segment *segment, struct capture_track *flow,
                                  __u32 link, bool out)
{
    add(skb, flow, segment->bytes, link, segment->payload, coarse_time(), out);
    __u32 ends = segment->tcp & TCP_RST ? CAPTURE_RST : 0;
    if (segment->tcp & TCP_FIN)
        ends |= out ? CAPTURE_FIN_OUT : CAPTURE_FIN_IN;
    if (ends & ~flow->flags)
        __sync_fetch_and_or(&flow->flags, ends);
}

/* A second of silence, after which another socket's datagrams of the same ports are another flow. */
static __always_inline bool is_silent(const struct capture_track *flow, __u64 now)
{
    const __u64 second = 1000000000ull;
    return now - flow->seen_out > second && now - flow->seen_in > second;
}

static __always_inline bool is_closed(const struct capture_track *flow)
{
    __u32 both = CAPTURE_FIN_OUT | CAPTURE_FIN_IN;
    return (flow->flags & CAPTURE_RST) || (flow->flags & both) == both;
}

static __always_inline bool is_allowed(const struct capture_track *flow, const struct capture_control *now)
{
    return flow->verdict == CAPTURE_ALLOW && now && flow->epoch == now->epoch;
}

static __always_inline bool has_prefix(void *map, const struct segment *segment)
{
    struct capture_prefix key = {.bits = 32 + 128, .version = segment->family};
    __builtin_memcpy(key.address, segment->key.destination, 16);
    return bpf_map_lookup_elem(map, &key);
}

/* A client's flow is counted on the client's link: its answers may look the same on the link by which they arrive. */
static __always_inline bool is_counted_here(struct __sk_buff *skb, const struct capture_track *flow)
{
    return flow->where.kind != CAPTURE_SERVED || flow->where.ifindex == skb->ifindex;
}

/* Carries out what the daemon decided. */
static __always_inline int obey(struct capture_order *order)
{
    struct capture_key key = order->key;
    struct capture_track *flow = bpf_map_lookup_elem(&flows, &key);
    const struct capture_control *now = present();

    order->found = 0;
    if (!flow || !now)
        return 0;
    order->found = 1;
    if (order->verdict == CAPTURE_FORGET)
        return bpf_map_delete_elem(&flows, &key);
    /* A packet that sees the new epoch beside the old verdict goes to user space; the other way round it would slip
     * through. */
    flow->verdict = CAPTURE_UNDECIDED;
    flow->epoch = now->epoch;
    flow->verdict = order->verdict;
    return 0;
}

/* Begins the epoch that is asked for, unless 0, and sets the clock of the programs where it has gone wrong by a tick, so that it
 * does not go to and fro. */
static __always_inline int set_control(const struct capture_control *wanted)
{
    __u32 zero = 0;
    struct capture_control *now = bpf_map_lookup_elem(&control, &zero);
    if (!now)
        return 0;
    if (wanted->epoch)
        now->epoch = wanted->epoch;
    __u64 offset = bpf_ktime_get_ns() - (bpf_jiffies64() + 1) * config.tick;
    if (offset - now->offset + config.tick > 2ull * config.tick)
        now->offset = offset;
    return 0;
}

#endif
