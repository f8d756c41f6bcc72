/* A WebSocket client that asks for echoes: each connection keeps one masked binary message in flight.
 *
 *     wsload PORT PATH CONNECTIONS BYTES SECONDS
 *
 * Prints messages a second, and the median and the 99th percentile of the time to the echo in microseconds.
 * It counts bytes and does not look at them: that servers answer rightly is the tests' affair.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_TIMES = 20000000, MOST_FDS = 70000 };

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static int fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    return 1;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* The frame of a client: returns its size. */
static size_t frame(unsigned char *out, size_t size) {
    const unsigned char key[4] = {1, 2, 3, 4};
    size_t at = 0, i;
    out[at++] = 0x82;
    if (size < 126) {
        out[at++] = 0x80 | size;
    } else if (size < 65536) {
        out[at++] = 0x80 | 126;
        out[at++] = size >> 8;
        out[at++] = size & 255;
    } else {
        out[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) out[at++] = (unsigned long)size >> shift & 255;
    }
    memcpy(out + at, key, 4);
    at += 4;
    for (i = 0; i < size; i++) out[at + i] = 'x' ^ key[i & 3];
    return at + size;
}

static int open_socket(int port, const char *path) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    char text[4096];
    size_t got = 0;
    if (fd < 0 || fd >= MOST_FDS || connect(fd, (struct sockaddr *)&to, sizeof to)) return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int size = snprintf(text, sizeof text,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                        path, port);
    if (send(fd, text, size, 0) != size) return -1;
    do {
        ssize_t more = recv(fd, text + got, sizeof text - 1 - got, 0);
        if (more <= 0) return -1;
        got += more;
        text[got] = 0;
    } while (!strstr(text, "\r\n\r\n"));
    return strncmp(text, "HTTP/1.1 101", 12) ? -1 : fd;
}

int main(int count, char **words) {
    if (count != 6) return fail("wsload PORT PATH CONNECTIONS BYTES SECONDS");
    int connections = atoi(words[3]), epoll = epoll_create1(0);
    size_t size = strtoul(words[4], NULL, 10), answer = size + (size < 126 ? 2 : size < 65536 ? 4 : 10), times = 0;
    double seconds = atof(words[5]);
    unsigned char *message = malloc(size + 16);
    size_t length = frame(message, size);
    size_t *got = calloc(MOST_FDS, sizeof *got);
    double *sent = calloc(MOST_FDS, sizeof *sent);
    float *took = malloc(sizeof *took * MOST_TIMES);
    static char buffer[1 << 20];
    static struct epoll_event events[1024];
    int *fds = malloc(sizeof *fds * connections);
    for (int i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i] = open_socket(atoi(words[1]), words[2])};
        if (fds[i] < 0) return fail("no handshake");
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
    }
    double began = now();
    for (int i = 0; i < connections; i++) {
        sent[fds[i]] = now();
        if (send(fds[i], message, length, 0) != (ssize_t)length) return fail("a message did not leave");
    }
    while (now() - began < seconds) {
        int ready = epoll_wait(epoll, events, 1024, 1000);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            ssize_t more = recv(fd, buffer, sizeof buffer, 0);
            if (more <= 0) return fail("the server closed a connection");
            got[fd] += more;
            if (got[fd] < answer) continue;
            got[fd] -= answer;
            double at = now();
            if (times < MOST_TIMES) took[times++] = (at - sent[fd]) * 1e6;
            sent[fd] = at;
            if (send(fd, message, length, 0) != (ssize_t)length) return fail("a message did not leave");
        }
    }
    double elapsed = now() - began;
    if (times == 0) return fail("nothing came back");
    qsort(took, times, sizeof *took, by_size);
    printf("%.0f %.0f %.0f\n", times / elapsed, took[times / 2], took[times * 99 / 100]);
    return 0;
}
