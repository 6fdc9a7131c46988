/* How long connections take to open, one after the other: what the first packets of a flow wait.
 *
 *   connect ADDRESS PORT COUNT      prints "p50 p99" in microseconds of connect(2), IPv4
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words)
{
    struct sockaddr_in server = {.sin_family = AF_INET};
    int total = count > 3 ? atoi(words[3]) : 0;
    if (total < 1 || inet_pton(AF_INET, words[1], &server.sin_addr) != 1)
        return fprintf(stderr, "usage: connect ADDRESS PORT COUNT\n"), 2;
    server.sin_port = htons((unsigned short)atoi(words[2]));
    double *took = calloc((size_t)total, sizeof *took);
    for (int i = 0; i < total; i++) {
        int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct linger reset = {1, 0}; /* no port stays behind in TIME_WAIT */
        double begun = now();
        if (s < 0 || connect(s, (struct sockaddr *)&server, sizeof server) < 0)
            return perror("connect"), 1;
        took[i] = now() - begun;
        setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(s);
        usleep(1000);
    }
    qsort(took, (size_t)total, sizeof *took, order);
    printf("%.1f %.1f\n", took[total / 2], took[(size_t)total * 99 / 100]);
    return 0;
}
