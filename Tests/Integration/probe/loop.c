// A steady stream of UDP queries: what is answered, when the answer changes, what is lost.
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct tally {
    int64_t sent_at[65536];   // by query ID; 0: not waiting
    long sent, answered, lost, refused;
    int64_t slowest;          // microseconds
    char last[600];           // the answer as printed last
};

// Print a line when the answer is another than before: when it came, and when its query was sent.
static void note(struct tally *t, const char *text, int64_t sent_at) {
    if (strcmp(t->last, text) == 0) return;
    snprintf(t->last, sizeof t->last, "%s", text);
    printf("change at=%lld sent=%lld number=%ld %s\n", (long long)now_us(), (long long)sent_at, t->answered, text);
    fflush(stdout);
}

static void send_next(const struct options *o, struct tally *t, int fd, const struct sockaddr_storage *to, socklen_t size) {
    uint8_t query[600];
    char label[32];
    snprintf(label, sizeof label, "q%ld", t->sent);
    int id = t->sent & 0xffff;
    size_t n = compose_query(o, id, o->unique ? label : NULL, query);
    int64_t now = now_us();
    if (t->sent_at[id]) t->lost++;
    ssize_t done = o->way == WAY_CONNECTED ? send(fd, query, n, 0)
                                           : sendto(fd, query, n, 0, (const struct sockaddr *)to, size);
    t->sent++;
    t->sent_at[id] = done < 0 ? 0 : now;
    if (done < 0) {
        char text[128];
        snprintf(text, sizeof text, "error %s", strerror(errno));
        t->refused++;
        note(t, text, now);
    }
}

// Take one answer; true when it holds the text the loop waits for.
static bool take(const struct options *o, struct tally *t, int fd) {
    uint8_t bytes[65535];
    struct answer a;
    char text[600];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 12 || !parse_answer(bytes, n, &a) || !t->sent_at[a.id]) return false;
    int64_t sent_at = t->sent_at[a.id], took = now_us() - sent_at;
    t->sent_at[a.id] = 0;
    t->answered++;
    if (took > t->slowest) t->slowest = took;
    snprintf(text, sizeof text, "rcode=%s answer=%s", rcode_name(a.rcode), a.data[0] ? a.data : "-");
    note(t, text, sent_at);
    return o->until && strstr(text, o->until);
}

static void drop_late(const struct options *o, struct tally *t) {
    int64_t oldest = now_us() - o->timeout * 1000LL;
    for (int id = 0; id < 65536; id++)
        if (t->sent_at[id] && t->sent_at[id] < oldest) {
            printf("lost number=%d sent=%lld\n", id, (long long)t->sent_at[id]);
            t->sent_at[id] = 0;
            t->lost++;
        }
}

int run_loop(const struct options *o) {
    static struct tally t;
    struct sockaddr_storage to;
    socklen_t to_length;
    int fd = open_socket(o, &to, &to_length);
    int64_t started = now_us(), end = started + o->duration * 1000LL, next = started, swept = started;
    bool found = false;
    printf("start at=%lld\n", (long long)started);
    fflush(stdout);
    while (!found && now_us() < end) {
        if (now_us() >= next) {
            send_next(o, &t, fd, &to, to_length);
            next += o->every * 1000LL;
        }
        while (!found && wait_readable(fd, next)) found = take(o, &t, fd);
        if (now_us() - swept > 200000) {
            drop_late(o, &t);
            swept = now_us();
        }
    }
    // The last queries get their full time.
    int64_t deadline = now_us() + o->timeout * 1000LL;
    while (!found && t.sent > t.answered + t.lost + t.refused && wait_readable(fd, deadline)) take(o, &t, fd);
    if (!found)
        for (int id = 0; id < 65536; id++) t.lost += t.sent_at[id] != 0;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    printf("done at=%lld wall=%lld ms=%lld sent=%ld answered=%ld lost=%ld refused=%ld slowest_us=%lld\n", (long long)now_us(),
           (long long)wall.tv_sec * 1000000 + wall.tv_nsec / 1000, (long long)(now_us() - started) / 1000, t.sent, t.answered, t.lost, t.refused, (long long)t.slowest);
    return o->until ? !found : t.answered == 0;
}
