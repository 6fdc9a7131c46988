/* The ceiling of forwarding: captures all that leaves by a link with the programs webtun uses, and writes every packet back as it
 * is, super-packets in one piece. It looks at nothing and lets no flow pass in the kernel.
 *
 *   forwarder LINK [TUN]      until SIGINT or SIGTERM; prints "forwarder: ready", in the end the counters
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "tunnel.h"

int main(int count, char **words)
{
    static unsigned char buffer[65536 + 64];
    if (count < 2)
        return fprintf(stderr, "usage: forwarder LINK [TUN]\n"), 2;
    struct tunnel tunnel = tunnel_open(words[1], count > 2 ? words[2] : "ceiling0", true);
    tunnel_ready("forwarder");

    unsigned long long packets = 0;
    while (!stopped) {
        ssize_t length = read(tunnel.tun, buffer, sizeof buffer);
        if (length < 0 && errno == EAGAIN)
            tunnel_wait(&tunnel);
        else if (length > CTUNNEL_HEADER) {
            packets++;
            if (write(tunnel.tun, buffer, (size_t)length) < 0)
                perror("forwarder: write");
        }
    }
    struct capture_counters sum = tunnel_counters(&tunnel);
    printf("forwarder: read %llu, captured %llu, forwarded %llu, local %llu, errors %llu\n", packets, sum.captured,
           sum.forwarded, sum.local, sum.errors);
    return 0;
}
