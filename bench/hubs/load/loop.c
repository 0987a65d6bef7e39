// The epoll, and how a socket gets into it.
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "options.h"

#define AT_ONCE 1024

static int epoll = -1;

void loop_start(void) {
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) die("epoll: %s", strerror(errno));
}

static struct sockaddr_in loopback(int last, int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + (uint32_t)last),
    };
}

int loop_connect(struct watch *watch, int source) {
    struct sockaddr_in from = loopback(source, 0), to = loopback(1, options.port);
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("no socket: %s; raise the limit of open files (ulimit -n)", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    // Else bind() would reserve a port for all destinations, and 28,000 of them are soon gone.
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&from, sizeof from)) die("bind: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    watch->fd = fd;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = watch};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    return 0;
}

void loop_expect(struct watch *watch, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = watch};
    epoll_ctl(epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_close(struct watch *watch) {
    if (watch->fd >= 0) close(watch->fd);
    watch->fd = -1;
}

int loop_error(const struct watch *watch) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

void loop_turn(uint64_t until) {
    struct epoll_event events[AT_ONCE];
    uint64_t t = now();
    int wait = until > t ? (int)((until - t + MILLISECOND - 1) / MILLISECOND) : 0;
    int count = epoll_wait(epoll, events, AT_ONCE, wait);
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        if (watch->fd >= 0) watch->ready(watch, events[i].events);
    }
}

void loop_until(uint64_t until) {
    while (now() < until) loop_turn(until);
}
