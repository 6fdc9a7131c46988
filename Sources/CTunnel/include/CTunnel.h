/* The kernel interfaces of the packet tunnel that Glibc's module and Debian's headers lack. Every function returns a
 * value >= 0, or -errno. Descriptors are close-on-exec. */
#ifndef CTUNNEL_H
#define CTUNNEL_H

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

#include "capture.h"
#include "owners.h"

/* Bytes of the virtio_net_hdr before every packet of the TUN (<linux/virtio_net.h>, legacy layout). */
#define CTUNNEL_HEADER 10

/* ARPHRD_* of <linux/if_arp.h>, which does not go together with <net/if.h>. */
enum { CTUNNEL_ETHER = 1, CTUNNEL_INFINIBAND = 32, CTUNNEL_LOOPBACK = 772 };

/* What ctunnel_offload got the kernel to do. */
#define CTUNNEL_TSO 1
#define CTUNNEL_USO 2

/* Opens a queue of the TUN `name` (IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE, non-blocking), header size
 * CTUNNEL_HEADER. `create`: the device must not exist yet (-EBUSY), else it must. Returns the descriptor.
 * /dev/net/tun itself failing to open gives -ENODEV (missing) or -EPERM. */
int ctunnel_open(const char *name, int create);

/* Lets the kernel hand over packets without checksum (as NEEDS_CSUM) and TCP, and where it can UDP, super-packets. Returns
 * CTUNNEL_TSO, | CTUNNEL_USO where the kernel has it (6.2). */
int ctunnel_offload(int tun);

/* BPF_LINK_CREATE for the hooks of TCX (kernel 6.6), before any other program. Returns the descriptor of the link, which
 * detaches when it is closed. */
int ctunnel_attach(int program, uint32_t ifindex, int egress);

/* The ifindex a link made by ctunnel_attach is attached to, 0 when its device is gone. */
int ctunnel_attached(int link);

/* Whether the kernel has TCX: 0, or -EOPNOTSUPP, or -EPERM when it cannot be told for lack of rights. */
int ctunnel_tcx(void);

/* The compiled object of bpf/capture.bpf.c, for bpf_object__open_mem. */
const void *ctunnel_capture_object(size_t *size);

/* An rtnetlink socket, bound, with these groups (a bit mask of RTMGRP_*), extended acknowledgements on. */
int ctunnel_rtnetlink(uint32_t groups);

/* A socket to netfilter's subsystems (NETLINK_NETFILTER), bound, that receives the events of `group` (NFNLGRP_*; 0: none). */
int ctunnel_netfilter(unsigned int group);

#endif
