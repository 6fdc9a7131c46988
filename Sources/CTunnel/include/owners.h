/* Reading the tables of owner.h from the daemon, and what the kernel says of a socket when they do not have it. Every
 * function returns a value >= 0, or -errno; none allocates. */
#ifndef WEBTUN_OWNERS_H
#define WEBTUN_OWNERS_H

#include <stddef.h>
#include <stdint.h>

#include "owner.h"

/* The compiled object of bpf/owners.bpf.c, for bpf_object__open_mem. */
const void *ctunnel_owners_object(size_t *size);

/* The socket cookie of the tuple with this hash; 0 when there is no entry. `flows`: the mapped map. */
uint64_t ctunnel_owner_flow(const void *flows, uint64_t hash);

/* Copies the entry of a cookie: 1 when there is one, else 0. */
int ctunnel_owner_socket(const void *sockets, uint64_t cookie, struct owner_socket *copy);

/* Copies the program of a socket's process: 1 when it is known, else 0. */
int ctunnel_owner_program(const void *programs, const struct owner_socket *socket, struct owner_program *copy);

/* Copies the next program of a process, of those that it has run, from `place` (at first 0) on: 1, else 0 at the end. */
int ctunnel_owner_next(const void *programs, uint32_t pid, uint32_t *place, struct owner_program *copy);

/* An owner that was looked up by the daemon itself, in a table of CTUNNEL_FOUND entries, zero at first. One thread writes,
 * any reads. `time`: nanoseconds of CLOCK_MONOTONIC. */
enum { CTUNNEL_FOUND = 4096 };
struct ctunnel_found {
    uint32_t version;
    int32_t uid, pid;
    uint32_t certainty;
    uint64_t hash, path, name, time;
};
void ctunnel_found_put(void *table, const struct ctunnel_found *entry);
int ctunnel_found_get(const void *table, uint64_t hash, struct ctunnel_found *copy);

/* The two ends of a flow as the kernel's sockets see it: network byte order, IPv4 addresses in the first word. `cookie` 0: of
 * any socket that would get the replies. */
struct ctunnel_tuple {
    uint32_t source[4], destination[4];
    uint16_t source_port, destination_port;
    uint8_t ipv6, protocol;
    uint64_t cookie;
};

/* A sock_diag(7) socket in this network namespace. */
int ctunnel_sock_diag(void);

/* The owner's uid and the inode of the socket of a flow (TCP, UDP). -ENOENT: there is none. */
int ctunnel_sock_find(int diag, const struct ctunnel_tuple *tuple, uint32_t *uid, uint64_t *inode);

_Static_assert(sizeof(struct ctunnel_found) == 48, "ctunnel_found");
_Static_assert(sizeof(struct ctunnel_tuple) == 48, "ctunnel_tuple");

#endif
