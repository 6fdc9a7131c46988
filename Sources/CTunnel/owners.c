#include "owners.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/owners.bpf.h"

const void *ctunnel_owners_object(size_t *size)
{
    *size = sizeof owners_object;
    return owners_object;
}

uint64_t ctunnel_owner_flow(const void *flows, uint64_t hash)
{
    const struct owner_flow *flow = (const struct owner_flow *)flows + (hash & (OWNER_FLOWS - 1));
    uint64_t cookie = __atomic_load_n(&flow->cookie, __ATOMIC_RELAXED);

    return (__atomic_load_n(&flow->check, __ATOMIC_RELAXED) ^ cookie) == hash ? cookie : 0;
}

/* Copies an entry that begins with its version: 0 when it is being written. */
static int take(void *copy, const void *entry, size_t size)
{
    uint32_t before = __atomic_load_n((const uint32_t *)entry, __ATOMIC_ACQUIRE);

    memcpy(copy, entry, size);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return !(before & 1) && __atomic_load_n((const uint32_t *)entry, __ATOMIC_RELAXED) == before;
}

int ctunnel_owner_socket(const void *sockets, uint64_t cookie, struct owner_socket *copy)
{
    const struct owner_socket *entry = (const struct owner_socket *)sockets + (cookie & (OWNER_SOCKETS - 1));

    return take(copy, entry, sizeof *copy) && copy->cookie == cookie && copy->pid;
}

int ctunnel_owner_program(const void *programs, const struct owner_socket *socket, struct owner_program *copy)
{
    const struct owner_program *entry = (const struct owner_program *)programs + (socket->place & (OWNER_PROGRAMS - 1));

    return take(copy, entry, sizeof *copy) && copy->pid == socket->pid && copy->program == socket->program;
}

int ctunnel_owner_next(const void *programs, uint32_t pid, uint32_t *place, struct owner_program *copy)
{
    const struct owner_program *entries = programs;

    while (*place < OWNER_PROGRAMS) {
        const struct owner_program *entry = entries + (*place)++;
        if (__atomic_load_n(&entry->pid, __ATOMIC_RELAXED) == pid && take(copy, entry, sizeof *copy) && copy->pid == pid)
            return 1;
    }
    return 0;
}

void ctunnel_found_put(void *table, const struct ctunnel_found *entry)
{
    struct ctunnel_found *place = (struct ctunnel_found *)table + (entry->hash & (CTUNNEL_FOUND - 1));
    uint32_t version = place->version;

    __atomic_store_n(&place->version, version + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy((char *)place + sizeof version, (const char *)entry + sizeof version, sizeof *entry - sizeof version);
    __atomic_store_n(&place->version, version + 2, __ATOMIC_RELEASE);
}

int ctunnel_found_get(const void *table, uint64_t hash, struct ctunnel_found *copy)
{
    const struct ctunnel_found *place = (const struct ctunnel_found *)table + (hash & (CTUNNEL_FOUND - 1));

    return take(copy, place, sizeof *copy) && copy->version && copy->hash == hash;
}

int ctunnel_sock_diag(void)
{
    struct timeval patience = {.tv_sec = 1};
    int diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    if (diag < 0)
        return -errno;
    setsockopt(diag, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return diag;
}

int ctunnel_sock_find(int diag, const struct ctunnel_tuple *tuple, uint32_t *uid, uint64_t *inode)
{
    static uint32_t sequence;
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } ask = {
        .header = {.nlmsg_len = sizeof ask, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
        .request = {
            .sdiag_family = tuple->ipv6 ? AF_INET6 : AF_INET,
            .sdiag_protocol = tuple->protocol,
            .idiag_states = ~0u,
            .id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE},
        },
    };
    union {
        struct nlmsghdr header;
        char room[4096];
    } reply;

    if (tuple->protocol != IPPROTO_TCP && tuple->protocol != IPPROTO_UDP)
        return -EPROTONOSUPPORT;
    if (tuple->cookie) {
        ask.request.id.idiag_cookie[0] = (uint32_t)tuple->cookie;
        ask.request.id.idiag_cookie[1] = (uint32_t)(tuple->cookie >> 32);
    }
    if (tuple->protocol == IPPROTO_TCP) {
        ask.request.id.idiag_sport = tuple->source_port;
        ask.request.id.idiag_dport = tuple->destination_port;
        memcpy(ask.request.id.idiag_src, tuple->source, 16);
        memcpy(ask.request.id.idiag_dst, tuple->destination, 16);
    } else {
        /* For UDP the kernel takes the ends the other way round (udp_dump_one of net/ipv4/udp_diag.c). */
        ask.request.id.idiag_sport = tuple->destination_port;
        ask.request.id.idiag_dport = tuple->source_port;
        memcpy(ask.request.id.idiag_src, tuple->destination, 16);
        memcpy(ask.request.id.idiag_dst, tuple->source, 16);
    }
    ask.header.nlmsg_seq = __atomic_add_fetch(&sequence, 1, __ATOMIC_RELAXED);
    if (send(diag, &ask, sizeof ask, 0) < 0)
        return -errno;
    for (;;) {
        ssize_t count = recv(diag, &reply, sizeof reply, 0);
        if (count < 0)
            return -errno;
        if (!NLMSG_OK(&reply.header, count) || reply.header.nlmsg_seq != ask.header.nlmsg_seq)
            continue;
        if (reply.header.nlmsg_type == NLMSG_ERROR)
            return ((const struct nlmsgerr *)NLMSG_DATA(&reply.header))->error ?: -EPROTO;
        if (reply.header.nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            return -EPROTO;
        const struct inet_diag_msg *found = NLMSG_DATA(&reply.header);
        *uid = found->idiag_uid;
        *inode = found->idiag_inode;
        return 0;
    }
}
