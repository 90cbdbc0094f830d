// HTTP/1.1 load generator: one thread, epoll, one request built beforehand, so that it takes a few percent of what it
// measures. The HTTP twin of ws_load.c.
//
//   http_load -port P -path /model/NAME/predict [-c 64] [-s BYTES] [-r RATE] [-expect BYTES] [-w WARM_S] [-d SECONDS]
//
// -c connections, kept alive, post a JSON body {"text":"xx…"} of -s bytes; one request at a time on each. Without -r a closed
// loop; with -r each connection has a request due RATE times a second, and latency is counted from when it was due, so a
// stalled server cannot hide its queue. What is due while an answer is still coming waits for its end.
// Also: -pids NAME:PID,… whose CPU time, memory, descriptors and threads are reported; -timeout S for the whole run.
// Answers may have a length or come in chunks. Per answer two times are kept: to the first byte of its body (first_), and
// to its end. Every answer must be a 200 with a body of -expect bytes (else of as many as the first one had); everything
// unexpected counts as an error (the first five are named on stderr). The answer is one JSON line on stdout.
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
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "proc_usage.h"
#include "watched.h"

enum { READ_BYTES = 1 << 18, BUCKETS = 2000000, EVENTS = 256, HEAD_BYTES_MAX = 8192 };
enum { CONNECTING, IDLE, SENDING, HEAD, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER };

typedef struct {
  uint32_t *buckets;  // one per microsecond
  long count;
  double max;
} latencies;

typedef struct {
  int fd, id, state, wants_write;
  size_t sent;
  char line[HEAD_BYTES_MAX];  // the head of an answer, or one line between chunks
  int line_len;
  uint64_t left;  // of the body or of the chunk
  uint64_t body;  // bytes of this answer's body so far
  double due;     // of the request under way
  // paced: a ring of the times at which requests were due that wait for the one under way
  double *times;
  int times_head, times_tail;
} conn;

static int port, conn_count = 64, poller, timer = -1, times_cap, measuring, ready, gone;
static const char *path = "/";
static long size = 100, expected = -1, errors, skipped, ticks;
static double rate, warm = 0.7, seconds = 3, timeout = 60, started;
static char *request;
static size_t request_len;
static latencies whole, first;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void record(latencies *l, double s) {
  long us = s * 1e6;
  if (!measuring) return;
  if (s > l->max) l->max = s;
  l->buckets[us < 0 ? 0 : us >= BUCKETS ? BUCKETS - 1 : us]++;
  l->count++;
}

// Milliseconds; -1 when nothing was recorded.
static double percentile(const latencies *l, double p) {
  uint64_t want = l->count * p, seen = 0;
  for (int i = 0; i < BUCKETS; i++)
    if ((seen += l->buckets[i]) > want) return i / 1000.0;
  return -1;
}

static void complain(conn *c, const char *what) {
  if (errors++ >= 5) return;
  fprintf(stderr, "http_load: connection %d: %s", c->id, what);
  if (c->state == HEAD && c->line_len) fprintf(stderr, ": %.*s", c->line_len < 300 ? c->line_len : 300, c->line);
  fprintf(stderr, "\n");
}

static void drop(conn *c, const char *what) {
  if (c->fd < 0) return;
  complain(c, what);
  close(c->fd);
  c->fd = -1;
  gone++;
}

static void watch(conn *c, int write) {
  if (c->wants_write == write) return;
  c->wants_write = write;
  struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void push(conn *c) {
  ssize_t n = send(c->fd, request + c->sent, request_len - c->sent, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return drop(c, strerror(errno));
  c->sent += n > 0 ? n : 0;
  watch(c, c->sent < request_len);
  if (c->sent < request_len) return;
  c->state = HEAD;
  c->line_len = 0;
}

static void post(conn *c, double due) {
  c->state = SENDING;
  c->sent = c->body = 0;
  c->due = due;
  push(c);
}

// Posts what is due next on a connection that is free; in a closed loop that is always something.
static void go_on(conn *c, double t) {
  if (rate <= 0) return post(c, t);
  if (c->times_head == c->times_tail) return;
  double due = c->times[c->times_head];
  c->times_head = (c->times_head + 1) % times_cap;
  post(c, due);
}

static void put(conn *c, double due) {
  int next = (c->times_tail + 1) % times_cap;
  if (c->fd < 0) return;
  if (next == c->times_head) {  // the server is that far behind: say so instead of growing
    skipped++;
    return;
  }
  c->times[c->times_tail] = due;
  c->times_tail = next;
  if (c->state == IDLE) go_on(c, due);
}

static void answered(conn *c, double t) {
  if (expected < 0) expected = c->body;
  if ((long)c->body != expected) {
    char what[80];
    snprintf(what, sizeof what, "an answer of %lu bytes instead of %ld", (unsigned long)c->body, expected);
    complain(c, what);
  }
  c->state = IDLE;
  record(&whole, t - c->due);
  go_on(c, t);
}

static const char *header(const char *head, const char *name) {
  size_t n = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
    if (!strncasecmp(line + 2, name, n) && line[2 + n] == ':') return line + 3 + n + strspn(line + 3 + n, " ");
  return NULL;
}

static void head_read(conn *c, double t) {
  if (strncmp(c->line, "HTTP/1.1 200", 12)) return drop(c, "not a 200");
  const char *length = header(c->line, "content-length"), *coding = header(c->line, "transfer-encoding");
  const char *connection = header(c->line, "connection");
  if (connection && !strncasecmp(connection, "close", 5)) return drop(c, "the server does not keep the connection");
  if (coding && !strncasecmp(coding, "chunked", 7)) c->state = CHUNK_SIZE;
  else if (length) c->state = BODY;
  else return drop(c, "an answer without length and chunks");
  c->left = c->state == BODY ? strtoull(length, NULL, 10) : 0;
  c->line_len = 0;
  if (c->state == BODY && !c->left) answered(c, t);
}

// Adds bytes to the line until it ends as `end` says; returns how many were taken, and 1 in *whole_line at the end.
static size_t take_line(conn *c, const char *b, size_t n, const char *end, int *whole_line) {
  int end_len = strlen(end);
  *whole_line = 0;
  for (size_t i = 0; i < n; i++) {
    if (c->line_len == HEAD_BYTES_MAX - 1) {
      drop(c, "a line or head that does not end");
      return n;
    }
    c->line[c->line_len++] = b[i];
    if (c->line_len < end_len || memcmp(c->line + c->line_len - end_len, end, end_len)) continue;
    c->line[c->line_len] = 0;
    *whole_line = 1;
    return i + 1;
  }
  return n;
}

static void line_read(conn *c, double t) {
  int length = c->line_len;
  if (c->state == HEAD) return head_read(c, t);
  c->line_len = 0;
  if (c->state == CHUNK_SIZE) {
    char *end;
    c->left = strtoull(c->line, &end, 16);
    if (end == c->line) return drop(c, "a chunk without a size");
    c->state = c->left ? CHUNK : TRAILER;
  } else if (c->state == CHUNK_END) {
    if (length != 2) return drop(c, "a chunk longer than its size");
    c->state = CHUNK_SIZE;
  } else if (length == 2) {  // the empty line behind the trailers
    answered(c, t);
  }
}

static void parse(conn *c, const char *b, size_t n, double t) {
  size_t i = 0;
  while (c->fd >= 0 && i < n) {
    if (c->state <= SENDING) return drop(c, "bytes that nobody asked for");
    if (c->state == BODY || c->state == CHUNK) {
      size_t m = n - i < c->left ? n - i : c->left;
      if (!c->body && m) record(&first, t - c->due);
      c->body += m;
      c->left -= m;
      i += m;
      if (c->left) continue;
      if (c->state == BODY) answered(c, t);
      else c->state = CHUNK_END;
      continue;
    }
    int whole_line;
    i += take_line(c, b + i, n - i, c->state == HEAD ? "\r\n\r\n" : "\r\n", &whole_line);
    if (whole_line) line_read(c, t);
  }
}

static void readable(conn *c, char *buf) {
  ssize_t n = recv(c->fd, buf, READ_BYTES, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return drop(c, n ? strerror(errno) : "connection ended");
  parse(c, buf, n, now());
}

static void handle(conn *c, uint32_t events, char *buf) {
  if (c->fd < 0) return;
  if (c->state == CONNECTING) {
    if (events & (EPOLLERR | EPOLLHUP)) return drop(c, "connection refused");
    if (!(events & EPOLLOUT)) return;
    c->state = IDLE;
    ready++;
    return watch(c, 0);
  }
  if (c->state == SENDING && events & EPOLLOUT) push(c);
  if (c->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c, buf);
}

static void wait_and_handle(int timeout_ms, char *buf) {
  struct epoll_event events[EVENTS];
  uint64_t expirations;
  int n = epoll_wait(poller, events, EVENTS, timeout_ms);
  for (int i = 0; i < n; i++) {
    if (events[i].data.ptr) handle(events[i].data.ptr, events[i].events, buf);
    else if (read(timer, &expirations, 8) < 0) continue;  // the clock decides what is due
  }
}

static void start(conn *c, int id) {
  int one = 1;
  *c = (conn){.id = id, .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .wants_write = 1};
  if (c->fd < 0) {
    perror("http_load: socket");
    exit(1);
  }
  c->times = calloc(times_cap, sizeof *c->times);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int failed = connect(c->fd, (void *)&a, sizeof a) < 0 && errno != EINPROGRESS;
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
  if (failed) drop(c, strerror(errno));
}

static void start_timer(void) {
  long ns = 1e9 / (rate * conn_count);
  struct itimerspec every = {{ns / 1000000000, ns % 1000000000}, {ns / 1000000000, ns % 1000000000}};
  timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  timerfd_settime(timer, 0, &every, NULL);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(poller, EPOLL_CTL_ADD, timer, &e);
}

static void put_due(conn *conns, double t) {
  double due;
  for (; rate > 0 && (due = started + ticks / (rate * conn_count)) <= t; ticks++) put(&conns[ticks % conn_count], due);
}

static void build_request(void) {
  static const char before[] = "{\"text\":\"", after[] = "\"}";
  long text = size - (long)(sizeof before - 1) - (long)(sizeof after - 1);
  request = malloc(strlen(path) + size + 256);
  int n = sprintf(request, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: */*\r\n"
                  "Content-Length: %ld\r\n\r\n%s", path, port, size, before);
  memset(request + n, 'x', text);
  strcpy(request + n + text, after);
  request_len = n + text + sizeof after - 1;
}

static int usage(const char *what) {
  fprintf(stderr, "http_load: %s\nusage: http_load -port P [-path /p] [-c CONNECTIONS] [-s BYTES] [-r RATE] [-expect BYTES] "
          "[-w S] [-d S] [-pids NAME:PID,…] [-timeout S]\n", what);
  return 2;
}

static int parse_options(int argc, char **argv) {
  for (int i = 1; i < argc; i += 2) {
    char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (!value) return usage("an option without a value");
    else if (!strcmp(option, "-port")) port = atoi(value);
    else if (!strcmp(option, "-path")) path = value;
    else if (!strcmp(option, "-c")) conn_count = atoi(value);
    else if (!strcmp(option, "-s")) size = atol(value);
    else if (!strcmp(option, "-r")) rate = atof(value);
    else if (!strcmp(option, "-expect")) expected = atol(value);
    else if (!strcmp(option, "-d")) seconds = atof(value);
    else if (!strcmp(option, "-w")) warm = atof(value);
    else if (!strcmp(option, "-timeout")) timeout = atof(value);
    else if (!strcmp(option, "-pids") && watch_processes(value)) continue;
    else return usage(option);
  }
  if (conn_count < 1 || rate < 0) return usage("-c and -r are numbers above zero");
  return size < 11 ? usage("-s is at least 11: {\"text\":\"\"}") : 0;
}

static void print_latencies(const char *prefix, const latencies *l) {
  printf("\"%sp50_ms\":%.3f,\"%sp99_ms\":%.3f,\"%smax_ms\":%.2f", prefix, percentile(l, .5), prefix, percentile(l, .99),
         prefix, l->max * 1e3);
}

static int failed(const char *what) {
  printf("{\"error\":\"%s\",\"opened\":%d,\"errors\":%ld}\n", what, ready, errors);
  return 1;
}

int main(int argc, char **argv) {
  if (parse_options(argc, argv)) return 2;
  build_request();
  // Room for two seconds of requests that wait, which is also as far as the histogram goes.
  times_cap = (int)(2 * rate) + 9;
  poller = epoll_create1(0);
  whole.buckets = calloc(BUCKETS, sizeof *whole.buckets);
  first.buckets = calloc(BUCKETS, sizeof *first.buckets);
  note_processes();
  char *buf = malloc(READ_BYTES);
  conn *conns = calloc(conn_count, sizeof *conns);
  double began = now(), measured = 0, own_cpu = 0, t;
  for (int i = 0; i < conn_count; i++) start(&conns[i], i);
  while (ready + gone < conn_count && now() - began < timeout) wait_and_handle(100, buf);
  if (ready < conn_count) return failed("not every connection could be opened");

  t = started = now();
  double open_s = t - began;
  if (rate > 0) start_timer();
  for (int i = 0; rate <= 0 && i < conn_count; i++) go_on(&conns[i], t);
  while (gone < conn_count && !(measuring && t - measured >= seconds)) {
    wait_and_handle(100, buf);
    t = now();
    if (t - began > timeout) return failed("timed out");
    put_due(conns, t);
    if (!measuring && t - started >= warm) {
      measuring = 1;
      skipped = 0;
      start_processes();
      own_cpu = read_proc_usage(getpid()).cpu_s;
      measured = t;
    }
  }
  if (gone == conn_count) return failed("every connection was closed");
  own_cpu = read_proc_usage(getpid()).cpu_s - own_cpu;
  printf("{\"mode\":\"load\",\"elapsed_s\":%.4f,\"open_s\":%.3f,\"errors\":%ld,\"generator_cpu_s\":%.6f,\"groups\":["
         "{\"name\":\"all\",\"conns\":%d,\"size\":%ld,\"messages\":%ld,\"skipped\":%ld,\"answer_bytes\":%ld,",
         t - measured, open_s, errors, own_cpu, conn_count, size, whole.count, skipped, expected);
  print_latencies("", &whole);
  printf(",");
  print_latencies("first_", &first);
  printf("}],");
  print_processes();
  return 0;
}
