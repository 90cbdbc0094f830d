// A WebSocket client connection of the load generator, and the group of equal ones that it belongs to.
#ifndef WS_CLIENT_H
#define WS_CLIENT_H

#include <stdint.h>
#include <stddef.h>

enum { READ_BYTES = 1 << 18, BUCKETS = 2000000 };
enum { CONNECTING, UPGRADING, OPEN };
enum { CLOSE = 1, ABORT = 2 };
enum { OPENING, WARMING, MEASURING };

typedef struct {
  int is_conn;  // tells a group's timer from a connection in epoll's data.ptr; first field of both
  char name[24];
  int conns, in_flight, text, noread;
  long size;
  double rate;
  uint8_t *frames;  // `copies` equal frames in a row, so that one send() carries many
  size_t frame_len;
  int copies, timer;
  double started;
  long ticks;  // paced messages due so far
  long messages, sent, skipped;
  double max_latency;
  uint32_t *buckets;  // one per microsecond
} group;

typedef struct {
  int is_conn, fd, id, state, wants_write;
  group *g;
  double born;
  char head[2048];
  int head_len;
  // the frame being read
  uint8_t fh[14];
  int fh_len, fh_need, op, fin, in_payload;
  uint64_t left, message_len;
  uint8_t control[128];
  int control_len;
  // a ring of the times at which unanswered messages were sent
  double *times;
  int times_head, times_tail, times_cap;
  // frames waiting to be sent, and how much of the first one has gone
  long queued;
  size_t offset;
  uint8_t reply[140];  // one pong or close frame, sent between two messages
  int reply_len, exchanged, closing;
} conn;

// What all connections of this process share. Single-threaded: no locks.
typedef struct {
  int poller, port, phase;
  const char *path;
  int opened, gone;  // connections that were upgraded, and that failed or were closed by the server
  long errors;
  // churn: open, exchange `per_stream` messages, close (or just vanish), again
  int churning, aborting, per_stream;
  long cycles_wanted, cycles_started, cycles_done;
  group handshakes;  // only its histogram is used
} client_world;

extern client_world world;

double now(void);
double percentile(const group *g, double p);  // milliseconds; -1 when nothing was recorded
void build_frames(group *g);
void start(conn *c);
void put(conn *c, int count, double when);  // queues messages; flush() sends them
void flush(conn *c);
void wait_and_handle(int timeout_ms, uint8_t *buf);  // buf holds READ_BYTES

#endif
