// probe: a small DNS client for tests. It sends queries in ways ordinary clients cannot be told to (each way of binding
// a socket, each way of cutting a TCP stream) and prints one line of key=value words an answer.
#ifndef PROBE_H
#define PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum way { WAY_PLAIN, WAY_CONNECTED, WAY_SOURCE, WAY_UNICAST_IF, WAY_DEVICE };

struct options {
    const char *server;       // address the query is sent to
    int port;                 // its port
    bool tcp;
    enum way way;             // how the socket is bound
    const char *link;         // link of WAY_UNICAST_IF and WAY_DEVICE
    const char *source;       // address of WAY_SOURCE
    int timeout;              // milliseconds for one answer
    const char *name;         // qname as text
    int type, class, opcode;
    bool rd;
    int edns;                 // EDNS UDP size, -1: no OPT record
    int edns_version;
    bool dnssec;              // the DO bit
    int together;             // TCP: this many queries in one write
    bool split;               // TCP: every byte in a segment of its own
    int pipeline;             // TCP: this many queries, a write each, none waits for an answer
    int idle;                 // TCP: after the answer, milliseconds to wait for the server to close
    int connections;          // TCP: this many connections open at once, a query each
    const char *until;        // ask again and again until the answer holds this text
    int every;                // milliseconds between two queries of a loop
    int duration;             // milliseconds a loop lasts, 0: one query
    bool unique;              // a loop puts a label of its own before each qname
    const char *raw;          // send these bytes (hex) instead of a query
};

struct answer {
    int id, rcode, opcode;
    bool qr, aa, tc, rd, ra, ad;
    int questions, answers, authorities, additionals;
    size_t bytes;
    uint32_t ttl;             // of the first record of the answer section
    uint32_t negative_ttl;    // of the first SOA of the authority section
    int edns_size, edns_version, ede;   // -1: not there
    bool edns_do;
    char data[512];           // addresses and names of the answer section, separated by commas
    char ede_text[256];
};

// Microseconds of CLOCK_MONOTONIC, the same for every process of the machine.
int64_t now_us(void);
// Compose a query into `out` (at least 600 bytes) and return its length; `prefix`, when not NULL, is put before the qname.
size_t compose_query(const struct options *o, int id, const char *prefix, uint8_t *out);
// Parse an answer; false when the bytes are not a whole DNS message.
bool parse_answer(const uint8_t *bytes, size_t length, struct answer *a);
// Print the answer as one line; `started` is the time the query was sent.
void print_answer(const struct answer *a, int64_t started);
const char *rcode_name(int rcode);
int type_number(const char *text);

// A socket bound in the asked way, and connected for TCP and WAY_CONNECTED. `to` receives the server's address. Exits with
// status 2 and a message when the kernel refuses; a TCP connection that cannot be made returns -1.
int open_socket(const struct options *o, struct sockaddr_storage *to, socklen_t *to_length);
// Wait until `fd` is readable or the time `deadline` (now_us) has come.
bool wait_readable(int fd, int64_t deadline);
bool write_all(int fd, const uint8_t *bytes, size_t length);
// Read one length-prefixed message of a TCP stream: its length, 0 when the peer closed, -1 on error or when time is up.
int read_message(int fd, uint8_t *out, size_t size, int64_t deadline);

int run_loop(const struct options *o);
int run_stream(const struct options *o);
int run_once(const struct options *o);

#endif
