/* What the ceilings share: a TUN, and the programs that webtun captures a link with. */
#ifndef CEILING_TUNNEL_H
#define CEILING_TUNNEL_H

#include <signal.h>
#include <stdbool.h>

#include "CTunnel.h"

struct tunnel {
    int tun;
    int counters; /* the map */
};

/* Captures a link until the process ends. Says on stderr what fails, and exits. `full`: not only DNS. */
struct tunnel tunnel_open(const char *link, const char *tun, bool full);

/* Set by SIGINT and SIGTERM once tunnel_ready has said "NAME: ready". */
extern volatile sig_atomic_t stopped;
void tunnel_ready(const char *name);

/* Waits until a packet is there or a signal has come. */
void tunnel_wait(const struct tunnel *tunnel);

/* The sums over all processors. */
struct capture_counters tunnel_counters(const struct tunnel *tunnel);

#endif
