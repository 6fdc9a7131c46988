// TCP (RFC 7766): several queries in one segment, one query in many, pipelining, idle connections, many connections.
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static size_t framed(const struct options *o, int id, const char *prefix, uint8_t *out) {
    size_t length = compose_query(o, id, prefix, out + 2);
    out[0] = length >> 8;
    out[1] = length;
    return length + 2;
}

static int no_connection(void) {
    printf(errno == EINPROGRESS || errno == EAGAIN ? "timeout\n" : "error %s\n", strerror(errno));
    return 1;
}

// Read the answers of queries 0..<count, in any order, each once; print them.
static int read_answers(const struct options *o, int fd, int count, int64_t started) {
    uint8_t bytes[65535];
    bool seen[1024] = {false};
    struct answer a;
    for (int i = 0; i < count; i++) {
        int n = read_message(fd, bytes, sizeof bytes, started + o->timeout * 1000LL);
        if (n <= 0) {
            printf(n == 0 ? "closed after=%d\n" : "timeout after=%d\n", i);
            return 1;
        }
        if (!parse_answer(bytes, n, &a) || a.id >= count || seen[a.id]) {
            printf("broken bytes=%d id=%d\n", n, a.id);
            return 1;
        }
        seen[a.id] = true;
        printf("id=%d ", a.id);
        print_answer(&a, started);
    }
    return 0;
}

static int wait_for_close(const struct options *o, int fd) {
    uint8_t byte;
    int64_t started = now_us();
    if (!wait_readable(fd, started + o->idle * 1000LL)) {
        printf("open ms=%d\n", o->idle);
        return 0;
    }
    ssize_t n = recv(fd, &byte, 1, 0);
    printf("%s ms=%lld\n", n == 0 ? "closed" : n < 0 ? "reset" : "data", (long long)(now_us() - started) / 1000);
    return 0;
}

static int run_connections(const struct options *o) {
    struct rlimit limit = {.rlim_cur = o->connections + 64, .rlim_max = o->connections + 64};
    setrlimit(RLIMIT_NOFILE, &limit);
    int *fds = calloc(o->connections, sizeof *fds), connected = 0, answered = 0;
    struct sockaddr_storage to;
    socklen_t to_length;
    uint8_t query[600], bytes[65535];
    struct answer a;
    for (int i = 0; i < o->connections; i++) {
        fds[i] = open_socket(o, &to, &to_length);
        if (fds[i] < 0) continue;
        connected++;
        char label[16];
        snprintf(label, sizeof label, "q%d", i);
        write_all(fds[i], query, framed(o, i & 0xffff, o->unique ? label : NULL, query));
    }
    int64_t deadline = now_us() + o->timeout * 1000LL;
    for (int i = 0; i < o->connections; i++)
        if (fds[i] >= 0) {
            int n = read_message(fds[i], bytes, sizeof bytes, deadline);
            answered += n > 0 && parse_answer(bytes, n, &a) && a.rcode == 0 && a.answers > 0;
        }
    printf("connections=%d connected=%d answered=%d\n", o->connections, connected, answered);
    return answered > 0 ? 0 : 1;
}

int run_stream(const struct options *o) {
    if (o->connections > 0) return run_connections(o);
    struct sockaddr_storage to;
    socklen_t to_length;
    uint8_t buffer[600 * 128];
    int count = o->together ? o->together : o->pipeline ? o->pipeline : 1;
    if (count > 1024 || o->together > 128) {
        fputs("probe: too many queries\n", stderr);
        return 2;
    }
    int64_t started = now_us();
    int fd = open_socket(o, &to, &to_length);
    if (fd < 0) return no_connection();
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        char label[16];
        snprintf(label, sizeof label, "q%d", i);
        size_t n = framed(o, i, count > 1 ? label : NULL, buffer + length);
        if (o->together) {
            length += n;
        } else if (o->split) {
            for (size_t at = 0; at < n; at++) {
                if (!write_all(fd, buffer + at, 1)) return no_connection();
                usleep(2000);
            }
        } else if (!write_all(fd, buffer, n)) {
            return no_connection();
        }
    }
    if (o->together && !write_all(fd, buffer, length)) return no_connection();
    int status = read_answers(o, fd, count, started);
    return status == 0 && o->idle > 0 ? wait_for_close(o, fd) : status;
}
