// rawserve: what one core can do at most. One thread, one epoll, and a broadcast is one send() of a ready
// frame to each socket: no ids, no checks, no log.
//
//     rawserve PORT
//
// GET anything is a stream; POST anything sends its body to all streams as one event.
// On 127.0.0.1, for Linux.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 100000    // descriptors
#define AT_ONCE 512
#define REQUEST 8192   // bytes of one, which has to come in one piece

static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: ok\n\n";
static const char DONE[] = "HTTP/1.1 204 No Content\r\n\r\n";

static int epoll, streams[MOST], count;  // the descriptors of all streams
static int place[MOST];                  // of a descriptor in `streams`, -1 where it is none

static void leave(int fd) {
    if (place[fd] >= 0) {
        int last = streams[--count];
        streams[place[fd]] = last;
        place[last] = place[fd];
        place[fd] = -1;
    }
    close(fd);
}

static void broadcast(const char *body) {
    char frame[REQUEST + 16];
    int size = snprintf(frame, sizeof frame, "data: %s\n\n", body);
    for (int i = 0; i < count; i++)
        if (send(streams[i], frame, (size_t)size, MSG_NOSIGNAL) != size)
            fprintf(stderr, "rawserve: a stream did not take its event\n");
}

static void answer(int fd) {
    char request[REQUEST];
    ssize_t size = recv(fd, request, sizeof request - 1, 0);
    if (size <= 0) {
        leave(fd);
        return;
    }
    request[size] = 0;
    const char *body = strstr(request, "\r\n\r\n");
    if (!strncmp(request, "GET", 3)) {
        send(fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL);
        place[fd] = count;
        streams[count++] = fd;
    } else if (body) {
        broadcast(body + 4);
        send(fd, DONE, sizeof DONE - 1, MSG_NOSIGNAL);
    }
}

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void take(int listener) {
    int yes = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST) exit(1);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        watch(fd);
    }
}

static int listening(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("rawserve");
        exit(1);
    }
    return fd;
}

static void raise_limit(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    struct epoll_event events[AT_ONCE];
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    memset(place, -1, sizeof place);
    epoll = epoll_create1(0);
    int listener = listening(atoi(argv[1]));
    watch(listener);
    for (;;) {
        int ready = epoll_wait(epoll, events, AT_ONCE, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener) take(listener);
            else answer(events[i].data.fd);
        }
    }
}
