/* The ceiling of the benchmark: captures the DNS of a link with the programs webtun uses and answers every UDP query over
 * IPv4 with a fixed blocked answer (A 0.0.0.0, TTL 10), doing nothing that is not needed for that.
 *
 *   responder LINK [TUN]      until SIGINT or SIGTERM; prints "responder: ready", in the end the counters
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "CTunnel.h"

enum { MARK = 0x77740001, QUESTION = 12, ANSWER = 16 };

static volatile sig_atomic_t stopped;
static void stop(int signal) { (void)signal, stopped = 1; }

static int need(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "responder: %s: %s\n", what, strerror(-result));
        exit(1);
    }
    return result;
}

static void up(const char *name)
{
    struct ifreq request = {0};
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    if (ioctl(s, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags |= IFF_UP;
        if (ioctl(s, SIOCSIFFLAGS, &request) == 0) {
            close(s);
            return;
        }
    }
    need(-errno, "bring the TUN up");
}

/* Sum of the IPv4 header for its checksum. */
static unsigned short checksum(const unsigned short *words, unsigned count)
{
    unsigned sum = 0;
    while (count--)
        sum += *words++;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (unsigned short)~sum;
}

/* Turns the query after the virtio header into its answer, in place. Returns the new length, 0 when it is none. */
static ssize_t answer(unsigned char *buffer, ssize_t length)
{
    static const unsigned char record[ANSWER] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 0, 0, 0, 0};
    unsigned char *ip = buffer + CTUNNEL_HEADER;
    ssize_t header = (ip[0] & 15) * 4, dns = CTUNNEL_HEADER + header + 8, end;
    unsigned char swap[4];
    unsigned short size;

    if (ip[0] >> 4 != 4 || ip[9] != 17 || length < dns + QUESTION + 5)
        return 0;
    for (end = dns + QUESTION; buffer[end]; end += buffer[end] + 1)
        if (end + buffer[end] + 6 > length)
            return 0;
    end += 5;

    unsigned char *message = buffer + dns, *udp = ip + header;
    message[2] |= 0x80, message[3] = 0x80;
    memset(message + 4, 0, 8);
    message[5] = message[7] = 1;
    memcpy(buffer + end, record, ANSWER);
    end += ANSWER;

    memcpy(swap, ip + 12, 4), memcpy(ip + 12, ip + 16, 4), memcpy(ip + 16, swap, 4);
    memcpy(swap, udp, 2), memcpy(udp, udp + 2, 2), memcpy(udp + 2, swap, 2);
    size = htons((unsigned short)(end - CTUNNEL_HEADER - header)), memcpy(udp + 4, &size, 2);
    memset(udp + 6, 0, 2); /* no checksum (RFC 768) */
    size = htons((unsigned short)(end - CTUNNEL_HEADER)), memcpy(ip + 2, &size, 2);
    memset(ip + 10, 0, 2);
    size = checksum((unsigned short *)ip, (unsigned)header / 2), memcpy(ip + 10, &size, 2);
    memset(buffer, 0, CTUNNEL_HEADER);
    return end;
}

int main(int count, char **words)
{
    static unsigned char buffer[65536 + CTUNNEL_HEADER + ANSWER];
    const char *name = count > 2 ? words[2] : "ceiling0";
    unsigned link = count > 1 ? if_nametoindex(words[1]) : 0;
    if (!link)
        return fprintf(stderr, "usage: responder LINK [TUN]\n"), 2;

    int tun = need(ctunnel_open(name, 1), "open the TUN");
    need(ctunnel_offload(tun), "set its offloads");
    up(name);

    size_t size;
    const void *bytes = ctunnel_capture_object(&size);
    struct bpf_object *object = bpf_object__open_mem(bytes, size, NULL);
    if (!object)
        need(-errno, "open the BPF object");
    struct bpf_program *program;
    bpf_object__for_each_program(program, object) bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
    struct capture_config config = {.tun = if_nametoindex(name), .mark = MARK};
    need(bpf_map__set_initial_value(bpf_object__find_map_by_name(object, ".rodata.config"), &config, sizeof config),
         "configure the programs");
    need(bpf_object__load(object), "load the programs");
    int back = bpf_program__fd(bpf_object__find_program_by_name(object, "tun_ingress"));
    int take = bpf_program__fd(bpf_object__find_program_by_name(object, "egress_ether"));
    need(ctunnel_attach(back, config.tun, 0), "attach to the TUN");
    need(ctunnel_attach(take, link, 1), "attach to the link");

    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    puts("responder: ready");
    fflush(stdout);

    struct pollfd readable = {.fd = tun, .events = POLLIN};
    while (!stopped) {
        ssize_t length = read(tun, buffer, sizeof buffer - ANSWER);
        if (length < 0 && errno == EAGAIN)
            poll(&readable, 1, -1);
        else if (length > CTUNNEL_HEADER + 20 && (length = answer(buffer, length)) > 0)
            if (write(tun, buffer, (size_t)length) < 0)
                perror("responder: write");
    }

    int cpus = libbpf_num_possible_cpus();
    struct capture_counters each[cpus], sum = {0};
    unsigned zero = 0;
    bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, "counters"), &zero, each);
    for (int i = 0; i < cpus; i++) {
        sum.captured += each[i].captured, sum.replied += each[i].replied;
        sum.local += each[i].local, sum.errors += each[i].errors;
    }
    printf("responder: captured %llu, replied %llu, local %llu, errors %llu\n", sum.captured, sum.replied, sum.local,
           sum.errors);
    return 0;
}
