/* The ceiling of the benchmark: captures the DNS of a link with the programs webtun uses and answers every UDP query over
 * IPv4 with a fixed blocked answer (A 0.0.0.0, TTL 10), doing nothing that is not needed for that.
 *
 *   responder LINK [TUN]      until SIGINT or SIGTERM; prints "responder: ready", in the end the counters
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tunnel.h"

enum { QUESTION = 12, ANSWER = 16 };

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
    if (count < 2)
        return fprintf(stderr, "usage: responder LINK [TUN]\n"), 2;
    struct tunnel tunnel = tunnel_open(words[1], count > 2 ? words[2] : "ceiling0", false);
    tunnel_ready("responder");

    while (!stopped) {
        ssize_t length = read(tunnel.tun, buffer, sizeof buffer - ANSWER);
        if (length < 0 && errno == EAGAIN)
            tunnel_wait(&tunnel);
        else if (length > CTUNNEL_HEADER + 20 && (length = answer(buffer, length)) > 0)
            if (write(tunnel.tun, buffer, (size_t)length) < 0)
                perror("responder: write");
    }
    struct capture_counters sum = tunnel_counters(&tunnel);
    printf("responder: captured %llu, replied %llu, local %llu, errors %llu\n", sum.captured, sum.replied, sum.local,
           sum.errors);
    return 0;
}
