#define _GNU_SOURCE
#include "ws_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum { EVENTS = 256, SENDS_IN_A_ROW = 16 };

client_world world = {.path = "/ws", .per_stream = 1};

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void record(group *g, double seconds) {
  long us = seconds * 1e6;
  if (seconds > g->max_latency) g->max_latency = seconds;
  g->buckets[us < 0 ? 0 : us >= BUCKETS ? BUCKETS - 1 : us]++;
  g->messages++;
}

double percentile(const group *g, double p) {
  uint64_t want = g->messages * p, seen = 0;
  for (int i = 0; i < BUCKETS; i++)
    if ((seen += g->buckets[i]) > want) return i / 1000.0;
  return -1;
}

static void watch(conn *c, int write) {
  if (c->wants_write == write) return;
  c->wants_write = write;
  int read = !(c->g->noread && c->state == OPEN);
  struct epoll_event e = {.events = (read ? EPOLLIN : 0) | (write ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(world.poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void complain(conn *c, const char *what) {
  if (world.errors++ >= 5) return;
  fprintf(stderr, "ws_load: connection %d of %s: %s", c->id, c->g->name, what);
  if (c->op == OP_CLOSE && c->control_len >= 2) fprintf(stderr, " (close %d)", c->control[0] << 8 | c->control[1]);
  if (c->state < OPEN && c->head_len) fprintf(stderr, ": %.200s", c->head);
  fprintf(stderr, "\n");
}

static void drop(conn *c, const char *what) {
  if (c->fd < 0) return;
  complain(c, what);
  close(c->fd);
  c->fd = -1;
  world.gone++;
}

void flush(conn *c) {
  group *g = c->g;
  for (int turns = 0;; turns++) {
    if (c->offset == 0 && c->reply_len) {
      if (send(c->fd, c->reply, c->reply_len, MSG_NOSIGNAL) != c->reply_len) return drop(c, "send of a control frame");
      c->reply_len = 0;
    }
    if (c->queued <= 0) break;
    if (turns == SENDS_IN_A_ROW) return watch(c, 1);
    long frames = c->queued < g->copies ? c->queued : g->copies;
    size_t len = frames * g->frame_len - c->offset;
    ssize_t n = send(c->fd, g->frames + c->offset, len, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return watch(c, 1);
    if (n < 0) return drop(c, strerror(errno));
    size_t done = c->offset + n;
    c->queued -= done / g->frame_len;
    g->sent += done / g->frame_len;
    c->offset = done % g->frame_len;
    if ((size_t)n < len) return watch(c, 1);
  }
  watch(c, 0);
}

void put(conn *c, int count, double when) {
  for (int i = 0; i < count; i++) {
    int next = (c->times_tail + 1) % c->times_cap;
    if (next == c->times_head) {  // the server is that far behind: say so instead of growing
      c->g->skipped++;
      continue;
    }
    c->times[c->times_tail] = when;
    c->times_tail = next;
    c->queued++;
  }
}

static void put_control(conn *c, int op, const uint8_t *payload, int n) {
  c->reply[0] = 0x80 | op;
  c->reply[1] = 0x80 | n;
  memset(c->reply + 2, 0, 4);  // a mask of zeros
  if (n) memcpy(c->reply + 6, payload, n);
  c->reply_len = 6 + n;
}

void start(conn *c) {
  int one = 1, small = 4096;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) {
    perror("ws_load: socket");
    exit(1);
  }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (c->g->noread) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  c->state = CONNECTING;
  c->wants_write = 1;
  c->born = now();
  c->head_len = c->fh_len = c->fh_need = c->in_payload = c->control_len = c->reply_len = c->exchanged = c->closing = 0;
  c->left = c->message_len = c->offset = 0;
  c->queued = c->times_head = c->times_tail = 0;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(world.port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int failed = connect(c->fd, (void *)&a, sizeof a) < 0 && errno != EINPROGRESS;
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  epoll_ctl(world.poller, EPOLL_CTL_ADD, c->fd, &e);
  if (failed) drop(c, strerror(errno));
}

static void upgrade(conn *c) {
  char b[1024];
  int n = snprintf(b, sizeof b,
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                   world.path, world.port);
  c->state = UPGRADING;
  if (send(c->fd, b, n, MSG_NOSIGNAL) != n) return drop(c, "send of the upgrade");
  watch(c, 0);
}

static void end_cycle(conn *c, double t) {
  close(c->fd);
  c->fd = -1;
  record(c->g, t - c->born);
  world.cycles_done++;
  if (world.cycles_started < world.cycles_wanted) {
    world.cycles_started++;
    start(c);
  }
}

static void message_read(conn *c, double t) {
  if ((long)c->message_len != c->g->size) complain(c, "an echo of another length");
  c->message_len = 0;
  if (c->times_head == c->times_tail) return complain(c, "a message that nobody asked for");
  double sent = c->times[c->times_head];
  c->times_head = (c->times_head + 1) % c->times_cap;
  if (world.churning) {
    if (++c->exchanged < world.per_stream) return put(c, 1, t);
    static const uint8_t normal[2] = {1000 >> 8, 1000 & 255};
    c->closing = world.aborting ? ABORT : CLOSE;
    if (world.aborting) return;  // the caller, which still holds bytes of this connection, ends it
    return put_control(c, OP_CLOSE, normal, 2);
  }
  if (world.phase == MEASURING) record(c->g, t - sent);
  if (c->g->rate == 0) put(c, 1, t);
}

static void frame_read(conn *c, double t) {
  if (c->op == OP_CLOSE) {
    int code = c->control_len >= 2 ? c->control[0] << 8 | c->control[1] : 1005;
    if (!c->closing || code != 1000) drop(c, "closed by the server");
    return;  // in a churn the end of the TCP connection ends the cycle
  }
  if (c->op == OP_PING) put_control(c, OP_PONG, c->control, c->control_len);
  if (c->op <= OP_BINARY && c->fin) message_read(c, t);
}

static void parse(conn *c, const uint8_t *b, size_t n, double t) {
  size_t i = 0;
  while (c->fd >= 0 && i < n && c->closing != ABORT) {
    if (!c->in_payload) {
      c->fh[c->fh_len++] = b[i++];
      if (c->fh_len < 2) continue;
      int short_len = c->fh[1] & 127;
      if (c->fh_len < 2 + (short_len == 126 ? 2 : short_len == 127 ? 8 : 0)) continue;
      c->left = short_len < 126 ? short_len : 0;
      for (int k = 2; k < c->fh_len; k++) c->left = c->left << 8 | c->fh[k];
      c->op = c->fh[0] & 15;
      c->fin = c->fh[0] >> 7;
      c->fh_len = 0;
      c->in_payload = 1;
      if (c->op > OP_BINARY) c->control_len = 0;
      else if (c->op && c->op != (c->g->text ? OP_TEXT : OP_BINARY)) complain(c, "an echo of the other kind");
      if (c->op > OP_BINARY && c->left > 125) return drop(c, "an oversized control frame");
      if (c->left) continue;
    }
    size_t m = n - i < c->left ? n - i : c->left;
    if (c->op > OP_BINARY) {
      memcpy(c->control + c->control_len, b + i, m);
      c->control_len += m;
    } else {
      if (m && b[i] != 'x') complain(c, "an echo of other bytes");
      c->message_len += m;
    }
    i += m;
    c->left -= m;
    if (c->left == 0) {
      c->in_payload = 0;
      frame_read(c, t);
    }
  }
}

static void opened_now(conn *c, double t) {
  c->state = OPEN;
  world.opened++;
  if (world.churning) {
    record(&world.handshakes, t - c->born);
    put(c, 1, t);
  }
}

static void readable(conn *c, uint8_t *buf) {
  ssize_t n = recv(c->fd, buf, READ_BYTES, 0);
  double t = now();
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0 && c->closing) return end_cycle(c, t);
  if (n <= 0) return drop(c, n ? strerror(errno) : "connection ended");
  if (c->state == UPGRADING) {
    int room = sizeof c->head - 1 - c->head_len, take = n < room ? n : room;
    memcpy(c->head + c->head_len, buf, take);
    c->head[c->head_len += take] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end && take < n) return drop(c, "an answer without an end");
    if (!end) return;
    if (strncmp(c->head, "HTTP/1.1 101", 12)) return drop(c, "upgrade refused");
    int body = end + 4 - c->head - (c->head_len - take);  // where in `buf` the frames begin
    opened_now(c, t);
    parse(c, buf + body, n - body, t);
  } else {
    parse(c, buf, n, t);
  }
  if (c->fd >= 0 && c->closing == ABORT) return end_cycle(c, t);
  if (c->fd >= 0 && (c->queued || c->reply_len)) flush(c);
}

static void handle(conn *c, uint32_t events, uint8_t *buf) {
  if (c->fd < 0) return;
  if (c->state == CONNECTING) {
    if (events & (EPOLLERR | EPOLLHUP)) return drop(c, "connection refused");
    if (events & EPOLLOUT) upgrade(c);
    return;
  }
  if (events & EPOLLOUT) flush(c);
  if (c->fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  if (c->g->noread && c->state == OPEN) return drop(c, "connection ended");
  readable(c, buf);
}

void wait_and_handle(int timeout_ms, uint8_t *buf) {
  struct epoll_event events[EVENTS];
  int n = epoll_wait(world.poller, events, EVENTS, timeout_ms);
  for (int i = 0; i < n; i++) {
    uint64_t expirations;
    group *g = events[i].data.ptr;
    if (g->is_conn) handle(events[i].data.ptr, events[i].events, buf);
    else if (read(g->timer, &expirations, 8) < 0) continue;  // the clock below decides what is due
  }
}

void build_frames(group *g) {
  static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  int head = g->size < 126 ? 2 : g->size < 65536 ? 4 : 10;
  g->frame_len = head + 4 + g->size;
  g->copies = (1 << 20) / g->frame_len;
  g->copies = g->copies < 1 ? 1 : g->copies > 64 ? 64 : g->copies;
  g->frames = malloc(g->frame_len * g->copies);
  for (int k = 0; k < g->copies; k++) {
    uint8_t *p = g->frames + k * g->frame_len;
    p[0] = 0x80 | (g->text ? OP_TEXT : OP_BINARY);
    p[1] = 0x80 | (head == 2 ? g->size : head == 4 ? 126 : 127);
    for (int j = 2; j < head; j++) p[j] = (uint64_t)g->size >> 8 * (head - 1 - j);
    memcpy(p + head, mask, 4);
    for (long j = 0; j < g->size; j++) p[head + 4 + j] = 'x' ^ mask[j & 3];
  }
}

