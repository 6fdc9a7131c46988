// Sockets bound in every way an application may bind one.
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef IP_UNICAST_IF
#define IP_UNICAST_IF 50
#endif
#ifndef IPV6_UNICAST_IF
#define IPV6_UNICAST_IF 76
#endif

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    exit(2);
}

static socklen_t parse_address(const char *text, int port, struct sockaddr_storage *out) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return sizeof *v6;
    }
    fprintf(stderr, "probe: not an address: %s\n", text);
    exit(2);
}

static void bind_as_asked(const struct options *o, int fd, int family) {
    struct sockaddr_storage from;
    switch (o->way) {
    case WAY_PLAIN:
    case WAY_CONNECTED:
        break;
    case WAY_SOURCE: {
        socklen_t length = parse_address(o->source, 0, &from);
        if (bind(fd, (struct sockaddr *)&from, length) < 0) fail("bind");
        break;
    }
    case WAY_UNICAST_IF: {
        uint32_t index = htonl(if_nametoindex(o->link));
        if (index == 0) fail(o->link);
        int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
        int option = family == AF_INET ? IP_UNICAST_IF : IPV6_UNICAST_IF;
        if (setsockopt(fd, level, option, &index, sizeof index) < 0) fail("UNICAST_IF");
        break;
    }
    case WAY_DEVICE:
        if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->link, strlen(o->link)) < 0) fail("SO_BINDTODEVICE");
        break;
    }
}

int open_socket(const struct options *o, struct sockaddr_storage *to, socklen_t *to_length) {
    *to_length = parse_address(o->server, o->port, to);
    int fd = socket(to->ss_family, (o->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    bind_as_asked(o, fd, to->ss_family);
    if (o->tcp) {
        int on = 1;
        struct timeval t = {.tv_sec = o->timeout / 1000, .tv_usec = o->timeout % 1000 * 1000};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);   // bounds connect() too
    }
    if (o->tcp || o->way == WAY_CONNECTED) {
        if (connect(fd, (struct sockaddr *)to, *to_length) < 0) {
            if (!o->tcp) fail("connect");
            int error = errno;
            close(fd);
            errno = error;
            return -1;
        }
    }
    return fd;
}

bool wait_readable(int fd, int64_t deadline) {
    for (;;) {
        int64_t left = deadline - now_us();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, left > 0 ? (int)((left + 999) / 1000) : 0);
        if (ready > 0) return true;
        if (ready == 0 || errno != EINTR) return false;
    }
}

bool write_all(int fd, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes += n;
        length -= n;
    }
    return true;
}

static int read_exactly(int fd, uint8_t *out, size_t length, int64_t deadline) {
    size_t have = 0;
    while (have < length) {
        if (!wait_readable(fd, deadline)) return -1;
        ssize_t n = recv(fd, out + have, length - have, 0);
        if (n == 0) return have == 0 ? 0 : -1;
        if (n < 0) return -1;
        have += n;
    }
    return 1;
}

int read_message(int fd, uint8_t *out, size_t size, int64_t deadline) {
    uint8_t prefix[2];
    int got = read_exactly(fd, prefix, 2, deadline);
    if (got <= 0) return got;
    size_t length = prefix[0] << 8 | prefix[1];
    if (length > size) return -1;
    return read_exactly(fd, out, length, deadline) == 1 ? (int)length : -1;
}
