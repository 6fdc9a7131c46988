/* What the BPF programs of bpf/capture.bpf.c and the daemon share: one layout, checked at compile time on both sides. */
#ifndef WEBTUN_CAPTURE_H
#define WEBTUN_CAPTURE_H

#include <linux/types.h>

/* Value of the map `.rodata.config`: fixed before the programs are loaded, so that the verifier folds it. */
struct capture_config {
    __u32 tun;      /* ifindex of the TUN */
    __u32 mark;     /* packets that carry this mark (SO_MARK) pass */
    __u32 reserved[2];
};

/* Where a flow was captured, and so where packets of it that come out of the TUN belong. */
enum capture_kind {
    CAPTURE_EGRESS = 1, /* leaving by a captured link: replies go to the link's ingress */
    CAPTURE_SERVED = 2, /* arriving from a client behind a served link: replies go to the link's egress */
};

/* Value of the maps `flows4` and `flows6`. `ether` is the Ethernet header of a reply, addresses already exchanged;
 * all zero on a link without one. */
struct capture_flow {
    __u32 ifindex;
    __u16 vlan_proto; /* network byte order; 0: no tag */
    __u16 vlan_tci;   /* host byte order */
    __u8 ether[14];
    __u8 kind; /* enum capture_kind */
    __u8 has_ether;
};

/* Keys, all fields in network byte order. A fragment after the first has no ports: its key carries the
 * identification of the datagram in their place. */
struct capture_key4 {
    __u32 source, destination;
    __u16 source_port, destination_port;
    __u8 protocol;
    __u8 fragment; /* 1: the ports are an identification */
    __u16 zero;
};

struct capture_key6 {
    __u32 source[4], destination[4];
    __u16 source_port, destination_port;
    __u8 protocol;
    __u8 fragment;
    __u16 zero;
};

/* Value of the per-CPU map `counters`, packets. */
struct capture_counters {
    __u64 captured;  /* redirected to the TUN from a captured link */
    __u64 served;    /* redirected to the TUN from a served link */
    __u64 replied;   /* TUN to application or client */
    __u64 forwarded; /* TUN to the link, unchanged */
    __u64 local;     /* TUN to this machine's own stack */
    __u64 passed;    /* webtun's own, left alone because of the mark */
    __u64 fragments; /* of `captured` and `served`: fragments */
    __u64 errors;    /* dropped: malformed, or a helper failed */
};

_Static_assert(sizeof(struct capture_config) == 16, "capture_config");
_Static_assert(sizeof(struct capture_flow) == 24, "capture_flow");
_Static_assert(sizeof(struct capture_key4) == 16, "capture_key4");
_Static_assert(sizeof(struct capture_key6) == 40, "capture_key6");
_Static_assert(sizeof(struct capture_counters) == 64, "capture_counters");

#endif
