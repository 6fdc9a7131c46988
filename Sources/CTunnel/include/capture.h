/* What the BPF programs of bpf/capture.bpf.c and the daemon share: one layout, checked at compile time on both sides. */
#ifndef WEBTUN_CAPTURE_H
#define WEBTUN_CAPTURE_H

#include <linux/types.h>

/* Value of the map `.rodata.config`: fixed before the programs are loaded, so that the verifier folds it. */
struct capture_config {
    __u32 tun;      /* ifindex of the TUN */
    __u32 mark;     /* packets that carry this mark (SO_MARK) pass */
    __u32 tick;     /* nanoseconds of a jiffy */
    __u32 reserved;
};

/* Where a flow was captured, and so where packets of it that come out of the TUN belong. */
enum capture_kind {
    CAPTURE_EGRESS = 1, /* leaving by a captured link: replies go to the link's ingress */
    CAPTURE_SERVED = 2, /* arriving from a client behind a served link: replies go to the link's egress */
};

/* Value of the map `queries`. `ether` is the Ethernet header of a reply, addresses already exchanged;
 * all zero on a link without one. */
struct capture_flow {
    __u32 ifindex;
    __u16 vlan_proto; /* network byte order; 0: no tag */
    __u16 vlan_tci;   /* host byte order */
    __u8 ether[14];
    __u8 kind; /* enum capture_kind */
    __u8 has_ether;
};

/* What is known of a flow in full mode, and what was decided: value of the map `flows`. Packets are those of the wire: a
 * super-packet counts as what it is cut into. Bytes are those of IP packets, IP headers included. Times are nanoseconds of
 * CLOCK_MONOTONIC, by ticks.
 *
 * The two directions are counted by different processors at the same time, so their counts are kept in different cache
 * lines: with what the kernel puts before a value (48 bytes and the key) an entry takes three lines of 64 bytes, of which the
 * last one is written by what comes in alone. */
struct capture_track {
    __u64 packets_out, bytes_out; /* by the side that began the flow */
    __u64 seen_out; /* the last of them */
    __u32 epoch;    /* under which `verdict` holds */
    __u16 verdict;  /* enum capture_verdict */
    __u16 reserved;
    struct capture_flow where;
    __u32 flags; /* CAPTURE_FIN_OUT ... */
    __u32 reserved2;
    __u64 cookie; /* of the socket, 0 when it is not this machine's */
    __u64 began;  /* its first packet; another value means another flow of the same addresses and ports */
    __u64 packets_in, bytes_in;
    __u64 seen_in;
};

enum capture_verdict {
    CAPTURE_UNDECIDED = 0, /* packets go to user space */
    CAPTURE_ALLOW = 1,     /* packets stay in the kernel while the epoch is that of the verdict */
};

enum { CAPTURE_FIN_OUT = 1, CAPTURE_FIN_IN = 2, CAPTURE_RST = 4 };

/* A flow, in the direction of its packets, all fields in network byte order. IPv4 addresses are mapped (RFC 4291 section
 * 2.5.5.2). An ICMP echo has its identifier as the port of the side that asks. A fragment after the first has no ports: its key
 * carries the identification of the datagram in their place. */
struct capture_key {
    __u32 source[4], destination[4];
    __u16 source_port, destination_port;
    __u8 protocol;
    __u8 fragment; /* 1: the ports are an identification */
    __u16 version; /* of IP, host byte order */
};

/* Input of the program `flow_order`, which changes an entry of `flows` in place, and its answer. */
struct capture_order {
    struct capture_key key;
    __u32 verdict; /* enum capture_verdict, or CAPTURE_FORGET */
    __u32 found;   /* answer: 1 when there was such an entry */
};
enum { CAPTURE_FORGET = 0xffff };

/* Value of the map `fragments`: of a datagram in fragments, by its identification. */
struct capture_fragments {
    struct capture_key flow;
    struct capture_flow where;
    __u32 passed; /* 1 when the first fragment was let out */
    __u32 reserved;
};

/* Key of the maps `include` and `exclude`: the version, then the address as in `capture_key`. */
struct capture_prefix {
    __u32 bits; /* 32 for the version, 96 more for IPv4, and the length of the prefix */
    __u32 version;
    __u32 address[4];
};

/* Value of the map `control`, changed while the programs run by the program `flow_control`, whose input it is too. */
struct capture_control {
    __u32 epoch; /* of the verdicts that hold; as input 0: unchanged */
    __u32 reserved;
    __u64 offset; /* CLOCK_MONOTONIC less the time that jiffies tell, nanoseconds; ignored as input */
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
    /* Of full mode: */
    __u64 allowed;  /* left alone because of the flow's verdict */
    __u64 inbound;  /* left alone because the far side began the flow */
    __u64 excluded; /* left alone because of the prefixes */
    __u64 reserved;
};

_Static_assert(sizeof(struct capture_config) == 16, "capture_config");
_Static_assert(sizeof(struct capture_flow) == 24, "capture_flow");
_Static_assert(sizeof(struct capture_key) == 40, "capture_key");
_Static_assert(sizeof(struct capture_counters) == 96, "capture_counters");
_Static_assert(sizeof(struct capture_track) == 104, "capture_track");
_Static_assert((48 + sizeof(struct capture_key) + sizeof(struct capture_track)) % 64 == 0, "lines of capture_track");
_Static_assert(
    48 + sizeof(struct capture_key) + __builtin_offsetof(struct capture_track, packets_in) >= 128, "lines of capture_track");
_Static_assert(sizeof(struct capture_order) == 48, "capture_order");
_Static_assert(sizeof(struct capture_fragments) == 72, "capture_fragments");
_Static_assert(sizeof(struct capture_prefix) == 24, "capture_prefix");
_Static_assert(sizeof(struct capture_control) == 16, "capture_control");

#endif
