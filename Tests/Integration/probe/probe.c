// The command line of probe, and its simplest act: one query, one answer.
#include "probe.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: probe --server ADDRESS [options] NAME [TYPE]\n"
    "  --port N  --tcp  --way plain|connected|source|unicast-if|device  --link LINK  --source ADDRESS  --timeout MS\n"
    "  --class N  --opcode N  --no-rd  --edns SIZE  --edns-version N  --do  --raw HEX\n"
    "TCP:   --together N  --split  --pipeline N  --idle MS  --connections N\n"
    "loops: --for MS  --every MS  --until TEXT  --unique\n"
    "One line an answer on standard output; exit status 0: answered, 1: no answer, 2: wrong use or no such socket.\n";

static enum way way_named(const char *text) {
    static const char *const names[] = {"plain", "connected", "source", "unicast-if", "device"};
    for (int i = 0; i < 5; i++)
        if (strcmp(text, names[i]) == 0) return i;
    fputs(usage, stderr);
    exit(2);
}

static size_t from_hex(const char *text, uint8_t *out, size_t size) {
    size_t n = 0;
    unsigned value;
    while (n < size && sscanf(text, "%2x", &value) == 1) {
        out[n++] = value;
        text += 2;
    }
    return n;
}

int run_once(const struct options *o) {
    uint8_t query[2048], bytes[65535];
    struct sockaddr_storage to;
    socklen_t to_length;
    struct answer a;
    int id = now_us() & 0xffff;
    size_t length = o->raw ? from_hex(o->raw, query, sizeof query) : compose_query(o, id, NULL, query);
    if (o->raw && length >= 2) id = query[0] << 8 | query[1];
    int64_t started = now_us(), deadline = started + o->timeout * 1000LL;
    int fd = open_socket(o, &to, &to_length);
    if (o->way != WAY_CONNECTED && sendto(fd, query, length, 0, (struct sockaddr *)&to, to_length) < 0) goto refused;
    if (o->way == WAY_CONNECTED && send(fd, query, length, 0) < 0) goto refused;
    while (wait_readable(fd, deadline)) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0) goto refused;
        if (n < 2 || (bytes[0] << 8 | bytes[1]) != id) continue;
        if (!parse_answer(bytes, n, &a)) {
            printf("broken bytes=%zd\n", n);
            return 1;
        }
        print_answer(&a, started);
        return 0;
    }
    printf("timeout\n");
    return 1;
refused:
    printf("error %s\n", strerror(errno));
    return 1;
}

int main(int argc, char **argv) {
    struct options o = {.port = 53, .timeout = 2000, .type = 1, .class = 1, .rd = true, .edns = -1, .every = 10};
    enum { SERVER = 256, PORT, TCP, WAY, LINK, SOURCE, TIMEOUT, CLASS, OPCODE, NO_RD, EDNS, EDNS_VERSION, DO, RAW,
           TOGETHER, SPLIT, PIPELINE, IDLE, CONNECTIONS, FOR, EVERY, UNTIL, UNIQUE };
    static const struct option longs[] = {
        {"server", 1, 0, SERVER}, {"port", 1, 0, PORT}, {"tcp", 0, 0, TCP}, {"way", 1, 0, WAY}, {"link", 1, 0, LINK},
        {"source", 1, 0, SOURCE}, {"timeout", 1, 0, TIMEOUT}, {"class", 1, 0, CLASS}, {"opcode", 1, 0, OPCODE},
        {"no-rd", 0, 0, NO_RD}, {"edns", 1, 0, EDNS}, {"edns-version", 1, 0, EDNS_VERSION}, {"do", 0, 0, DO},
        {"raw", 1, 0, RAW}, {"together", 1, 0, TOGETHER}, {"split", 0, 0, SPLIT}, {"pipeline", 1, 0, PIPELINE},
        {"idle", 1, 0, IDLE}, {"connections", 1, 0, CONNECTIONS}, {"for", 1, 0, FOR}, {"every", 1, 0, EVERY},
        {"until", 1, 0, UNTIL}, {"unique", 0, 0, UNIQUE}, {0, 0, 0, 0}};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) switch (c) {
        case SERVER: o.server = optarg; break;
        case PORT: o.port = atoi(optarg); break;
        case TCP: o.tcp = true; break;
        case WAY: o.way = way_named(optarg); break;
        case LINK: o.link = optarg; break;
        case SOURCE: o.source = optarg; break;
        case TIMEOUT: o.timeout = atoi(optarg); break;
        case CLASS: o.class = atoi(optarg); break;
        case OPCODE: o.opcode = atoi(optarg); break;
        case NO_RD: o.rd = false; break;
        case EDNS: o.edns = atoi(optarg); break;
        case EDNS_VERSION: o.edns_version = atoi(optarg); break;
        case DO: o.dnssec = true; break;
        case RAW: o.raw = optarg; break;
        case TOGETHER: o.together = atoi(optarg); break;
        case SPLIT: o.split = true; break;
        case PIPELINE: o.pipeline = atoi(optarg); break;
        case IDLE: o.idle = atoi(optarg); break;
        case CONNECTIONS: o.connections = atoi(optarg); break;
        case FOR: o.duration = atoi(optarg); break;
        case EVERY: o.every = atoi(optarg); break;
        case UNTIL: o.until = optarg; break;
        case UNIQUE: o.unique = true; break;
        default: fputs(usage, stderr); return 2;
        }
    bool links = o.way == WAY_UNICAST_IF || o.way == WAY_DEVICE;
    if (!o.server || (optind >= argc && !o.raw) || (links && !o.link) || (o.way == WAY_SOURCE && !o.source) ||
        o.every < 1 || o.timeout < 1) {
        fputs(usage, stderr);
        return 2;
    }
    o.name = optind < argc ? argv[optind] : "";
    if (strlen(o.name) > 250) {
        fputs("probe: name too long\n", stderr);
        return 2;
    }
    if (optind + 1 < argc) o.type = type_number(argv[optind + 1]);
    if (o.duration > 0) return run_loop(&o);
    return o.tcp ? run_stream(&o) : run_once(&o);
}
