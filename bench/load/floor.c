/* The floor: the least that one thread can do for an HTTP request over epoll.
 *
 * One recv, a search for the ends of heads, one send of as many fixed answers.
 * It is no server: it parses nothing, checks nothing, and keeps nothing of a
 * head that is cut by the end of a read (the load generator sends each batch
 * of requests in one write, so no head is).  Whatever a real server costs above
 * this figure is what it does; what lies below it is the kernel.
 *
 *     cc -O2 -o floor floor.c && ./floor 8080
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, INPUT = 64 * 1024, ANSWERS = 512 };

/* The same fields a server sends; the date stands still, so that its upkeep is not counted here. */
static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\n"
    "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 13\r\n"
    "\r\n"
    "Hello, World!";
enum { ANSWER_BYTES = sizeof ANSWER - 1 };

static char input[INPUT];
static char output[ANSWERS * ANSWER_BYTES];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((unsigned short)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };

    if (fd < 0)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("bind");
    if (listen(fd, SOMAXCONN) < 0)
        fail("listen");
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        close(fd);
}

static void accept_all(int epoll, int listener)
{
    int on = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(epoll, fd);
    }
}

static void answer(int fd)
{
    ssize_t got = recv(fd, input, sizeof input, 0);
    size_t heads = 0;

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            close(fd);
        return;
    }
    for (char *at = input, *end = input + got; heads < ANSWERS; heads++) {
        char *found = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        if (found == NULL)
            break;
        at = found + 4;
    }
    if (heads > 0 && send(fd, output, heads * ANSWER_BYTES, MSG_NOSIGNAL) < 0)
        close(fd);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    int port = argc == 2 ? atoi(argv[1]) : 0;
    int listener, epoll;

    if (port <= 0 || port > 65535) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    for (int i = 0; i < ANSWERS; i++)
        memcpy(output + i * ANSWER_BYTES, ANSWER, ANSWER_BYTES);
    listener = listen_on(port);
    epoll = epoll_create1(0);
    if (epoll < 0)
        fail("epoll_create1");
    watch(epoll, listener);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                answer(events[i].data.fd);
        }
    }
}
