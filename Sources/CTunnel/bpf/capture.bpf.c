/* The TCX programs of the link back end: what belongs to webtun leaves captured and served links for the TUN, and what
 * webtun writes to the TUN goes back where it belongs. Compiled by scripts/bpf-header into capture.bpf.h.
 *
 *   egress_ether, egress_bare     egress of a captured link, with and without an Ethernet header
 *   ingress_ether, ingress_bare   ingress of a served link
 *   tun_ingress                   ingress of the TUN
 *
 * The programs of full mode, which is loaded in the place of dns mode:
 *
 *   full_egress_ether, full_egress_bare   egress of a captured link
 *   full_served_ether, full_served_bare   ingress of a served link
 *   full_return_ether, full_return_bare   the other direction: ingress of a captured link, egress of a served one
 *   full_tun_ingress                      ingress of the TUN
 *   flow_order                            run by the daemon: changes an entry of `flows`
 *   flow_control                          run by the daemon: changes `control`
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../include/capture.h"
#include "../include/owner.h"

#include "parse.h"

#include "segment.h"

#include "sockets.h"

#include "dns.h"

#include "flows.h"

#include "fast.h"

#include "full.h"

char _license[] SEC("license") = "GPL";

SEC("tc") int egress_ether(struct __sk_buff *skb) { return capture(skb, true, CAPTURE_EGRESS); }
SEC("tc") int egress_bare(struct __sk_buff *skb) { return capture(skb, false, CAPTURE_EGRESS); }
SEC("tc") int ingress_ether(struct __sk_buff *skb) { return capture(skb, true, CAPTURE_SERVED); }
SEC("tc") int ingress_bare(struct __sk_buff *skb) { return capture(skb, false, CAPTURE_SERVED); }
SEC("tc") int tun_ingress(struct __sk_buff *skb) { return give_back(skb); }

SEC("tc") int full_egress_ether(struct __sk_buff *skb) { return full_capture(skb, true, CAPTURE_EGRESS); }
SEC("tc") int full_egress_bare(struct __sk_buff *skb) { return full_capture(skb, false, CAPTURE_EGRESS); }
SEC("tc") int full_served_ether(struct __sk_buff *skb) { return full_capture(skb, true, CAPTURE_SERVED); }
SEC("tc") int full_served_bare(struct __sk_buff *skb) { return full_capture(skb, false, CAPTURE_SERVED); }
SEC("tc") int full_return_ether(struct __sk_buff *skb) { return full_return(skb, true); }
SEC("tc") int full_return_bare(struct __sk_buff *skb) { return full_return(skb, false); }
SEC("tc") int full_tun_ingress(struct __sk_buff *skb) { return full_give_back(skb); }

/* The daemon's word on a flow, given in place so that no count is lost. */
SEC("syscall") int flow_order(struct capture_order *order) { return obey(order); }
SEC("syscall") int flow_control(const struct capture_control *wanted) { return set_control(wanted); }
