#include "tunnel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MARK = 0x77740001 };

volatile sig_atomic_t stopped;
static void stop(int signal) { (void)signal, stopped = 1; }

static int need(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
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
            request.ifr_qlen = 4096; /* as webtun has it */
            ioctl(s, SIOCSIFTXQLEN, &request);
            close(s);
            return;
        }
    }
    need(-errno, "bring the TUN up");
}

static bool is_full(const char *program)
{
    return !strncmp(program, "full_", 5) || !strcmp(program, "flow_order");
}

/* Everything may go on: no verdict, no prefix that is excluded. */
static void include_all(struct bpf_object *object)
{
    int include = bpf_object__find_map_fd_by_name(object, "include");
    for (unsigned version = 4; version <= 6; version += 2) {
        struct capture_prefix all = {.bits = version == 4 ? 128 : 32, .version = version};
        unsigned one = 1;
        if (version == 4)
            all.address[2] = 0xffff0000; /* mapped: ::ffff:0:0 in network byte order */
        need(bpf_map_update_elem(include, &all, &one, 0), "include everything");
    }
}

struct tunnel tunnel_open(const char *link, const char *name, bool full)
{
    unsigned ifindex = if_nametoindex(link);
    if (!ifindex)
        need(-errno, link);
    int tun = need(ctunnel_open(name, 1), "open the TUN");
    need(ctunnel_offload(tun), "set its offloads");
    up(name);

    size_t size;
    const void *bytes = ctunnel_capture_object(&size);
    struct bpf_object *object = bpf_object__open_mem(bytes, size, NULL);
    if (!object)
        need(-errno, "open the BPF object");
    struct bpf_program *program;
    bpf_object__for_each_program(program, object) {
        if (strcmp(bpf_program__name(program), "flow_order"))
            bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
        bpf_program__set_autoload(program, is_full(bpf_program__name(program)) == full);
    }
    struct capture_config config = {.tun = if_nametoindex(name), .mark = MARK};
    need(bpf_map__set_initial_value(bpf_object__find_map_by_name(object, ".rodata.config"), &config, sizeof config),
         "configure the programs");
    need(bpf_object__load(object), "load the programs");
    if (full)
        include_all(object);

    const char *back = full ? "full_tun_ingress" : "tun_ingress", *take = full ? "full_egress_ether" : "egress_ether";
    int fd = bpf_program__fd(bpf_object__find_program_by_name(object, back));
    need(ctunnel_attach(fd, config.tun, 0), "attach to the TUN");
    if (full) {
        fd = bpf_program__fd(bpf_object__find_program_by_name(object, "full_return_ether"));
        need(ctunnel_attach(fd, ifindex, 0), "attach to the link");
    }
    fd = bpf_program__fd(bpf_object__find_program_by_name(object, take));
    need(ctunnel_attach(fd, ifindex, 1), "attach to the link");
    return (struct tunnel){tun, bpf_object__find_map_fd_by_name(object, "counters")};
}

void tunnel_ready(const char *name)
{
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    printf("%s: ready\n", name);
    fflush(stdout);
}

void tunnel_wait(const struct tunnel *tunnel)
{
    struct pollfd readable = {.fd = tunnel->tun, .events = POLLIN};
    poll(&readable, 1, -1);
}

struct capture_counters tunnel_counters(const struct tunnel *tunnel)
{
    int cpus = libbpf_num_possible_cpus();
    struct capture_counters each[cpus], sum = {0};
    unsigned zero = 0;
    bpf_map_lookup_elem(tunnel->counters, &zero, each);
    for (int i = 0; i < cpus; i++) {
        sum.captured += each[i].captured, sum.replied += each[i].replied, sum.forwarded += each[i].forwarded;
        sum.local += each[i].local, sum.errors += each[i].errors;
    }
    return sum;
}
