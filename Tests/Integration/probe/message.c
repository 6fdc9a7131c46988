// Composing queries and parsing answers (RFC 1035 section 4, EDNS RFC 6891, EDE RFC 8914).
#include "probe.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const struct { const char *name; int number; } types[] = {
    {"A", 1}, {"NS", 2}, {"CNAME", 5}, {"SOA", 6}, {"PTR", 12}, {"MX", 15}, {"TXT", 16}, {"AAAA", 28},
    {"SVCB", 64}, {"HTTPS", 65}, {"IXFR", 251}, {"AXFR", 252}, {"ANY", 255},
};
static const char *const rcodes[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};

int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int type_number(const char *text) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(text, types[i].name) == 0) return types[i].number;
    return atoi(text);
}

const char *rcode_name(int rcode) {
    static char other[16];
    if (rcode >= 0 && rcode < 6) return rcodes[rcode];
    snprintf(other, sizeof other, rcode == 16 ? "BADVERS" : "RCODE%d", rcode);
    return other;
}

static size_t put16(uint8_t *out, unsigned value) {
    out[0] = value >> 8;
    out[1] = value;
    return 2;
}

static size_t put_name(uint8_t *out, const char *text) {
    size_t n = 0;
    while (*text) {
        const char *dot = strchrnul(text, '.');
        size_t length = dot - text;
        if (length == 0) break;
        out[n++] = length;
        memcpy(out + n, text, length);
        n += length;
        text = *dot ? dot + 1 : dot;
    }
    return n;
}

size_t compose_query(const struct options *o, int id, const char *prefix, uint8_t *out) {
    size_t n = put16(out, id);
    n += put16(out + n, (o->opcode & 15) << 11 | (o->rd ? 0x0100 : 0));
    n += put16(out + n, 1);
    n += put16(out + n, 0);
    n += put16(out + n, 0);
    n += put16(out + n, o->edns >= 0);
    if (prefix) n += put_name(out + n, prefix);
    n += put_name(out + n, o->name);
    out[n++] = 0;
    n += put16(out + n, o->type);
    n += put16(out + n, o->class);
    if (o->edns >= 0) {
        out[n++] = 0;
        n += put16(out + n, 41);
        n += put16(out + n, o->edns);
        out[n++] = 0;
        out[n++] = o->edns_version;
        n += put16(out + n, o->dnssec ? 0x8000 : 0);
        n += put16(out + n, 0);
    }
    return n;
}

struct reader { const uint8_t *bytes; size_t length, at; bool failed; };

static unsigned get(struct reader *r, int count) {
    unsigned value = 0;
    if (r->at + count > r->length) { r->failed = true; return 0; }
    while (count--) value = value << 8 | r->bytes[r->at++];
    return value;
}

// Read a name, compressed or not, as text without the last dot.
static void get_name(struct reader *r, char *text, size_t size) {
    size_t at = r->at, n = 0;
    bool jumped = false;
    for (int hops = 0; hops < 128; hops++) {
        if (at >= r->length) break;
        unsigned length = r->bytes[at];
        if (length >= 0xc0) {
            if (at + 1 >= r->length) break;
            if (!jumped) r->at = at + 2;
            jumped = true;
            at = (length & 0x3f) << 8 | r->bytes[at + 1];
            continue;
        }
        if (length == 0) {
            if (!jumped) r->at = at + 1;
            text[n] = 0;
            return;
        }
        if (at + 1 + length > r->length || n + length + 2 > size) break;
        if (n) text[n++] = '.';
        memcpy(text + n, r->bytes + at + 1, length);
        n += length;
        at += 1 + length;
    }
    text[0] = 0;
    r->failed = true;
}

static void append(struct answer *a, const char *text) {
    size_t used = strlen(a->data);
    snprintf(a->data + used, sizeof a->data - used, "%s%s", used ? "," : "", text);
}

static void get_options(struct reader *r, size_t end, struct answer *a) {
    while (r->at + 4 <= end && !r->failed) {
        unsigned code = get(r, 2), length = get(r, 2);
        if (r->at + length > end) { r->failed = true; return; }
        if (code == 15 && length >= 2) {
            a->ede = r->bytes[r->at] << 8 | r->bytes[r->at + 1];
            size_t n = length - 2 < sizeof a->ede_text - 1 ? length - 2 : sizeof a->ede_text - 1;
            memcpy(a->ede_text, r->bytes + r->at + 2, n);
            a->ede_text[n] = 0;
        }
        r->at += length;
    }
}

static void get_record(struct reader *r, struct answer *a, int section, bool first) {
    char name[260], text[300];
    get_name(r, name, sizeof name);
    unsigned type = get(r, 2), class = get(r, 2), ttl = get(r, 4), length = get(r, 2);
    size_t end = r->at + length;
    if (r->failed || end > r->length) { r->failed = true; return; }
    if (section == 0) {
        if (first) a->ttl = ttl;
        if (type == 1 && length == 4) append(a, inet_ntop(AF_INET, r->bytes + r->at, text, sizeof text));
        else if (type == 28 && length == 16) append(a, inet_ntop(AF_INET6, r->bytes + r->at, text, sizeof text));
        else if (type == 5 || type == 2 || type == 12) { get_name(r, text, sizeof text); append(a, text); }
        else { snprintf(text, sizeof text, "TYPE%u", type); append(a, text); }
    } else if (section == 1 && type == 6) {
        a->negative_ttl = ttl;
    } else if (section == 2 && type == 41) {
        a->edns_size = class;
        a->rcode |= (ttl >> 24) << 4;
        a->edns_version = ttl >> 16 & 255;
        a->edns_do = ttl >> 15 & 1;
        get_options(r, end, a);
    }
    r->at = end;
}

bool parse_answer(const uint8_t *bytes, size_t length, struct answer *a) {
    struct reader r = {bytes, length, 0, false};
    memset(a, 0, sizeof *a);
    a->edns_size = a->edns_version = a->ede = -1;
    a->bytes = length;
    a->id = get(&r, 2);
    unsigned flags = get(&r, 2);
    a->qr = flags >> 15 & 1;
    a->opcode = flags >> 11 & 15;
    a->aa = flags >> 10 & 1;
    a->tc = flags >> 9 & 1;
    a->rd = flags >> 8 & 1;
    a->ra = flags >> 7 & 1;
    a->ad = flags >> 5 & 1;
    a->rcode = flags & 15;
    a->questions = get(&r, 2);
    int counts[3];
    a->answers = counts[0] = get(&r, 2);
    a->authorities = counts[1] = get(&r, 2);
    a->additionals = counts[2] = get(&r, 2);
    char name[260];
    for (int i = 0; i < a->questions && !r.failed; i++) {
        get_name(&r, name, sizeof name);
        get(&r, 4);
    }
    for (int section = 0; section < 3; section++)
        for (int i = 0; i < counts[section] && !r.failed; i++) get_record(&r, a, section, i == 0);
    return !r.failed && r.at == length;
}

void print_answer(const struct answer *a, int64_t started) {
    printf("rcode=%s answer=%s tc=%d aa=%d ra=%d rd=%d ad=%d qr=%d counts=%d/%d/%d/%d ttl=%u negative_ttl=%u bytes=%zu "
           "edns=%d version=%d do=%d ede=%d us=%lld text=%s\n",
           rcode_name(a->rcode), a->data[0] ? a->data : "-", a->tc, a->aa, a->ra, a->rd, a->ad, a->qr, a->questions,
           a->answers, a->authorities, a->additionals, a->ttl, a->negative_ttl, a->bytes, a->edns_size, a->edns_version,
           a->edns_do, a->ede, (long long)(now_us() - started), a->ede_text);
    fflush(stdout);
}
