/* Many flows that are alive at once: one datagram to each of so many places, at a steady rate.
 *
 *   many ADDRESS COUNT RATE      UDP to ports 10000… of ADDRESS and the 15 addresses behind it, IPv4; RATE a second
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESSES = 16, FIRST_PORT = 10000 };

int main(int count, char **words)
{
    struct sockaddr_in place = {.sin_family = AF_INET};
    struct in_addr first;
    int total = count > 3 ? atoi(words[2]) : 0, rate = count > 3 ? atoi(words[3]) : 0;
    if (total < 1 || total > ADDRESSES * (65536 - FIRST_PORT) || rate < 1 || inet_pton(AF_INET, words[1], &first) != 1)
        return fprintf(stderr, "usage: many ADDRESS COUNT RATE\n"), 2;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return perror("socket"), 1;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (int i = 0; i < total; i++) {
        place.sin_addr.s_addr = htonl(ntohl(first.s_addr) + (unsigned)(i % ADDRESSES));
        place.sin_port = htons((unsigned short)(FIRST_PORT + i / ADDRESSES));
        if (sendto(s, "x", 1, 0, (struct sockaddr *)&place, sizeof place) < 0)
            return perror("sendto"), 1;
        if (i % 16 == 15) { /* a burst of sixteen, then the pause that belongs to it */
            next.tv_nsec += 16 * (1000000000l / rate);
            next.tv_sec += next.tv_nsec / 1000000000;
            next.tv_nsec %= 1000000000;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        }
    }
    return close(s);
}
