// Echo server for calibration: what the load generator itself and the kernel cost, with next to no server behind them.
// It answers the one fixed key that ws_load sends and never looks at opcodes.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ws_echo.h"

static const char ANSWER[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

enum { READ_BYTES = 1 << 18, KEEP_BYTES = 1 << 19 };

typedef struct {
  int fd, upgraded, wants_write;
  uint8_t *in;
  size_t in_len, in_cap;
  uint8_t *out;
  size_t out_len, out_cap, out_off;
} peer;

static int poller;

static void watch(peer *p, int write) {
  if (p->wants_write == write) return;
  p->wants_write = write;
  struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = p};
  epoll_ctl(poller, EPOLL_CTL_MOD, p->fd, &e);
}

static void flush(peer *p) {
  while (p->out_off < p->out_len) {
    ssize_t n = send(p->fd, p->out + p->out_off, p->out_len - p->out_off, MSG_NOSIGNAL);
    if (n < 0) {
      watch(p, 1);
      return;
    }
    p->out_off += n;
  }
  p->out_off = p->out_len = 0;
  watch(p, 0);
}

static void append(peer *p, const void *bytes, size_t n) {
  if (p->out_len + n > p->out_cap) {
    p->out_cap = (p->out_len + n) * 2;
    p->out = realloc(p->out, p->out_cap);
  }
  memcpy(p->out + p->out_len, bytes, n);
  p->out_len += n;
}

static void unmask(uint8_t *data, size_t n, const uint8_t key[4]) {
  uint8_t twice[8];
  uint64_t wide, word;
  memcpy(twice, key, 4);
  memcpy(twice + 4, key, 4);
  memcpy(&wide, twice, 8);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    memcpy(&word, data + i, 8);
    word ^= wide;
    memcpy(data + i, &word, 8);
  }
  for (; i < n; i++) data[i] ^= key[i & 3];
}

static void echo_frames(peer *p) {
  size_t done = 0;
  for (;;) {
    size_t have = p->in_len - done, head = 2;
    uint8_t *b = p->in + done;
    if (have < 2) break;
    uint64_t length = b[1] & 127;
    if (length == 126) {
      if (have < 4) break;
      length = b[2] << 8 | b[3];
      head = 4;
    } else if (length == 127) {
      if (have < 10) break;
      length = 0;
      for (int i = 0; i < 8; i++) length = length << 8 | b[2 + i];
      head = 10;
    }
    if (have < head + 4 + length) break;
    unmask(b + head + 4, length, b + head);
    uint8_t header[10];
    memcpy(header, b, head);
    header[1] &= 127;
    append(p, header, head);
    append(p, b + head + 4, length);
    done += head + 4 + length;
  }
  if (done) {
    memmove(p->in, p->in + done, p->in_len - done);
    p->in_len -= done;
  }
  flush(p);
  if (p->in_len == 0 && p->out_len == 0 && p->in_cap > KEEP_BYTES) {
    free(p->in);
    free(p->out);
    p->in = p->out = NULL;
    p->in_cap = p->out_cap = 0;
  }
}

// False when the peer has gone and `p` was freed.
static int receive(peer *p) {
  if (p->in_cap - p->in_len < READ_BYTES / 2) {
    p->in_cap = p->in_len + READ_BYTES;
    p->in = realloc(p->in, p->in_cap);
  }
  ssize_t n = recv(p->fd, p->in + p->in_len, p->in_cap - p->in_len - 1, 0);
  if (n < 0 && errno == EAGAIN) return 1;
  if (n <= 0) {
    close(p->fd);
    free(p->in);
    free(p->out);
    free(p);
    return 0;
  }
  p->in_len += n;
  if (p->upgraded) {
    echo_frames(p);
    return 1;
  }
  p->in[p->in_len] = 0;
  if (strstr((char *)p->in, "\r\n\r\n")) {
    p->upgraded = 1;
    p->in_len = 0;
    append(p, ANSWER, sizeof ANSWER - 1);
    flush(p);
  }
  return 1;
}

int serve_echo(int port) {
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) {
    perror("ws_load serve");
    return 1;
  }
  socklen_t len = sizeof address;
  getsockname(listener, (void *)&address, &len);
  poller = epoll_create1(0);
  struct epoll_event on_accept = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &on_accept);
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    int n = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < n; i++) {
      peer *p = events[i].data.ptr;
      if (!p) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        p = calloc(1, sizeof *p);
        p->fd = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
        continue;
      }
      if (events[i].events & EPOLLOUT) flush(p);
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(p);
    }
  }
}
