// Test data of the benchmark: names to block and queries to ask, the same for the same seed.
//
//   names FOLDER COUNT SEED QUERIES RUNS
//
// writes into FOLDER
//   names.domains  names.hosts   COUNT different names to block, one a line
//   blocked.queries              QUERIES names picked at random from them, for dnsperf
//   hot.queries                  QUERIES names picked at random from 10,000 hot ones; hot-once.queries: each hot one once
//   mixed-N.queries              for each of RUNS runs: 25 % blocked, 70 % hot, 5 % names never asked before
//
// The shape follows real lists: six of ten are registered names of their own, four of ten lie one to two labels below one
// of some thousand busy domains which are themselves not listed. A name is about 20 bytes long.
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOT = 10000, BUSY = 8000, LONGEST = 80 };

static uint64_t state;

// splitmix64 (Steele, Lea and Flood 2014).
static uint64_t next(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static unsigned below(unsigned limit) { return (next() >> 32) * limit >> 32; }

static const char *const syllables[] = {"ad",  "ba", "cal", "de",  "el",  "fo",  "gra", "hi",  "in", "jo",  "ka",
                                        "lo",  "me", "net", "ol",  "pix", "qu",  "ro",  "sta", "ti", "un",  "vi",
                                        "web", "xa", "yo",  "zen", "tra", "cki", "mar", "ket", "on", "clic"};
static const char *const words[] = {"ads", "track", "cdn", "stats", "pixel", "beacon", "metrics", "log", "img", "click"};
static const char *const tops[] = {"com", "com", "com", "com", "net", "org", "ru", "de", "info", "xyz", "co.uk", "io"};

#define PICK(list) list[below(sizeof list / sizeof list[0])]

static size_t put(char *out, size_t n, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    n += vsnprintf(out + n, LONGEST - n, format, arguments);
    va_end(arguments);
    return n;
}

// A number in base 36; it makes the label it ends unique.
static const char *base36(unsigned value) {
    static char text[12];
    char *end = text + sizeof text - 1;
    do *--end = "0123456789abcdefghijklmnopqrstuvwxyz"[value % 36];
    while (value /= 36);
    return end;
}

static void busy_domain(char *out, unsigned number) {
    uint64_t kept = state;
    state = 0xb5ad4eceda1ce2a9 ^ number;
    size_t n = 0;
    for (unsigned i = 2 + below(2); i; i--) n = put(out, n, "%s", PICK(syllables));
    put(out, n, "%s.%s", base36(number), PICK(tops));
    state = kept;
}

static void listed_name(char *out, unsigned number) {
    size_t n = 0;
    if (below(10) < 6) {
        for (unsigned i = 1 + below(3); i; i--) n = put(out, n, "%s", PICK(syllables));
        put(out, n, "-%s.%s", base36(number), PICK(tops));
    } else {
        char domain[LONGEST];
        unsigned r = below(BUSY);
        busy_domain(domain, (uint64_t)r * r / BUSY);   // few domains have many names
        n = put(out, n, "%s%s", PICK(words), base36(number));
        if (below(3) == 0) n = put(out, n, ".%s", PICK(words));
        put(out, n, ".%s", domain);
    }
}

static FILE *create(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void finish(FILE *file) {
    if (fclose(file) != 0) {
        perror("names: write");
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: names FOLDER COUNT SEED QUERIES RUNS\n"), 2;
    const char *folder = argv[1];
    unsigned count = atoi(argv[2]), queries = atoi(argv[4]), runs = atoi(argv[5]);
    state = strtoull(argv[3], NULL, 10);
    if (count < 1 || queries < 1) return fprintf(stderr, "names: COUNT and QUERIES must be at least 1\n"), 2;

    char(*names)[LONGEST] = malloc((size_t)count * LONGEST);
    if (!names) return perror("names"), 1;
    FILE *domains = create(folder, "names.domains"), *hosts = create(folder, "names.hosts");
    for (unsigned i = 0; i < count; i++) {
        listed_name(names[i], i);
        fprintf(domains, "%s\n", names[i]);
        fprintf(hosts, "0.0.0.0 %s\n", names[i]);
    }
    finish(domains);
    finish(hosts);

    FILE *file = create(folder, "blocked.queries");
    for (unsigned i = 0; i < queries; i++) fprintf(file, "%s A\n", names[below(count)]);
    finish(file);
    file = create(folder, "hot.queries");
    for (unsigned i = 0; i < queries; i++) fprintf(file, "h%u.hot.example A\n", below(HOT));
    finish(file);
    file = create(folder, "hot-once.queries");
    for (unsigned i = 0; i < HOT; i++) fprintf(file, "h%u.hot.example A\n", i);
    finish(file);
    for (unsigned run = 1, miss = 0; run <= runs; run++) {
        char name[64];
        snprintf(name, sizeof name, "mixed-%u.queries", run);
        file = create(folder, name);
        for (unsigned i = 0; i < queries; i++) {
            unsigned r = below(100);
            if (r < 25) fprintf(file, "%s A\n", names[below(count)]);
            else if (r < 95) fprintf(file, "h%u.hot.example A\n", below(HOT));
            else fprintf(file, "m%u.miss.example A\n", miss++);
        }
        finish(file);
    }
    return 0;
}
