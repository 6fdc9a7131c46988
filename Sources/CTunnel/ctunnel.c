#include "CTunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/capture.bpf.h"

/* Newer than Debian 12's headers: <linux/if_tun.h> of 6.2, <linux/bpf.h> of 6.6. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
enum { TCX_INGRESS = 46, TCX_EGRESS = 47 };
enum { FIRST = 1 << 3 }; /* BPF_F_BEFORE, before nothing in particular: before all */

/* The first fields of union bpf_attr for BPF_LINK_CREATE on TCX. */
struct link_create {
    __u32 prog_fd, target_ifindex, attach_type, flags;
    __u32 relative_fd, padding;
    __u64 expected_revision;
};

/* struct bpf_link_info as far as TCX fills it. */
struct link_info {
    __u32 type, id, prog_id, padding;
    __u32 ifindex, attach_type;
};

_Static_assert(sizeof(struct virtio_net_hdr) == CTUNNEL_HEADER, "virtio_net_hdr");
_Static_assert(sizeof(struct link_create) == 32, "BPF_LINK_CREATE");
_Static_assert(offsetof(struct link_create, expected_revision) == 24, "BPF_LINK_CREATE");
_Static_assert(offsetof(struct link_info, ifindex) == 16, "bpf_link_info");
_Static_assert(sizeof(((struct ifreq *)0)->ifr_name) == 16, "ifreq");

static long bpf(int command, void *attributes, unsigned size)
{
    return syscall(SYS_bpf, command, attributes, size);
}

int ctunnel_open(const char *name, int create)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE};
    int size = CTUNNEL_HEADER, tun;

    if (strlen(name) >= sizeof request.ifr_name)
        return -ENAMETOOLONG;
    strcpy(request.ifr_name, name);
    if (create)
        request.ifr_flags |= IFF_TUN_EXCL;
    tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tun < 0)
        return errno == ENOENT || errno == ENXIO ? -ENODEV : -errno;
    if (ioctl(tun, TUNSETIFF, &request) < 0 || ioctl(tun, TUNSETVNETHDRSZ, &size) < 0) {
        int error = errno;
        close(tun);
        return -error;
    }
    return tun;
}

int ctunnel_offload(int tun)
{
    unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

    if (ioctl(tun, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6) == 0)
        return CTUNNEL_TSO | CTUNNEL_USO;
    return ioctl(tun, TUNSETOFFLOAD, tso) == 0 ? CTUNNEL_TSO : -errno;
}

int ctunnel_attach(int program, uint32_t ifindex, int egress)
{
    struct link_create create = {
        .prog_fd = program,
        .target_ifindex = ifindex,
        .attach_type = egress ? TCX_EGRESS : TCX_INGRESS,
        .flags = FIRST,
    };
    long link = bpf(BPF_LINK_CREATE, &create, sizeof create);

    return link < 0 ? -errno : (int)link;
}

int ctunnel_attached(int link)
{
    struct link_info info = {0};
    union bpf_attr get = {.info = {.bpf_fd = link, .info_len = sizeof info, .info = (uintptr_t)&info}};

    return bpf(BPF_OBJ_GET_INFO_BY_FD, &get, sizeof get) < 0 ? -errno : (int)info.ifindex;
}

int ctunnel_tcx(void)
{
    /* Asks what is attached to the loopback link, which is always there as 1: kernels without TCX do not know the hook. */
    union bpf_attr query = {.query = {.target_fd = 1, .attach_type = TCX_EGRESS}};

    if (bpf(BPF_PROG_QUERY, &query, sizeof query) == 0)
        return 0;
    return errno == EPERM ? -EPERM : -EOPNOTSUPP;
}

const void *ctunnel_capture_object(size_t *size)
{
    *size = sizeof capture_object;
    return capture_object;
}

int ctunnel_rtnetlink(uint32_t groups)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int on = 1, room = 1 << 20;
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (netlink < 0)
        return -errno;
    if (bind(netlink, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        close(netlink);
        return -error;
    }
    setsockopt(netlink, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(netlink, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    setsockopt(netlink, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    return netlink;
}

int ctunnel_netfilter(unsigned int group)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    int room = 1 << 22;
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

    if (netlink < 0)
        return -errno;
    if (bind(netlink, (struct sockaddr *)&address, sizeof address) < 0 ||
        (group && setsockopt(netlink, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)) {
        int error = errno;
        close(netlink);
        return -error;
    }
    setsockopt(netlink, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    return netlink;
}
