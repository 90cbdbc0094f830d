// WebSocket load generator: one thread, epoll, prebuilt frames, so that it takes a few percent of what it measures.
//
//   ws_load load  -port P [-path /ws] -group NAME:c=64,k=1,s=100[,r=20][,text][,noread] … [-w WARM_S] [-d SECONDS]
//   ws_load idle  -port P -group all:c=2000 [-d HOLD_S]
//   ws_load churn -port P -group all:c=64,s=100 -n CYCLES [-m MESSAGES_PER_STREAM] [-abort 1]
//   ws_load serve -port P                            a C echo server, for calibration
//
// Group: c connections, k messages in flight each (closed loop), or r messages per second each (paced; latency is counted
// from when a message was due, so a stalled server cannot hide its queue), s payload bytes, `text` frames instead of
// binary, `noread`: sends flat out and never reads. Several groups share one process, one clock and one server.
// Also: -pids NAME:PID,… whose CPU time, memory, descriptors and threads are reported; -ramp connections opening at once;
// -timeout S for the whole run. The answer is one JSON line on stdout. The server must echo; the length, kind and first byte
// of every read are checked, and everything unexpected counts as an error (the first five are named on stderr).
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "proc_usage.h"
#include "watched.h"
#include "ws_client.h"
#include "ws_echo.h"

enum { GROUPS_MAX = 4 };

static group groups[GROUPS_MAX];
static int group_count, ramp = 64;
static double warm = 0.7, seconds = 3, timeout = 120;

static int parse_group(char *spec) {
  if (group_count == GROUPS_MAX) return 0;
  group *g = &groups[group_count++];
  *g = (group){.conns = 64, .in_flight = 1, .size = 100};
  char *colon = strchr(spec, ':'), *rest;
  if (!colon) return 0;
  snprintf(g->name, sizeof g->name, "%.*s", (int)(colon - spec), spec);
  for (char *item = strtok_r(colon + 1, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
    if (!strcmp(item, "text")) g->text = 1;
    else if (!strcmp(item, "noread")) g->noread = 1;
    else if (item[0] && item[1] != '=') return 0;
    else if (item[0] == 'c') g->conns = atoi(item + 2);
    else if (item[0] == 'k') g->in_flight = atoi(item + 2);
    else if (item[0] == 's') g->size = atol(item + 2);
    else if (item[0] == 'r') g->rate = atof(item + 2);
    else return 0;
  }
  g->buckets = calloc(BUCKETS, sizeof *g->buckets);
  build_frames(g);
  return g->conns > 0 && g->in_flight > 0 && g->size >= 0;
}

static void print_latencies(const char *prefix, const group *g) {
  printf("\"%sp50_ms\":%.3f,\"%sp99_ms\":%.3f,\"%smax_ms\":%.2f", prefix, percentile(g, .5), prefix, percentile(g, .99),
         prefix, g->max_latency * 1e3);
}

static int usage(const char *what) {
  fprintf(stderr, "ws_load: %s\nusage: ws_load load|idle|churn|serve -port P [-path /ws] -group NAME:c=64,k=1,s=100,… "
          "[-w S] [-d S] [-n CYCLES] [-m MESSAGES] [-abort 1] [-pids NAME:PID,…] [-ramp N] [-timeout S]\n", what);
  return 2;
}

static void start_sending(conn *conns, int total, double t) {
  for (int i = 0; i < total; i++) {
    conn *c = &conns[i];
    if (c->fd < 0 || c->g->rate > 0) continue;
    if (c->g->noread) c->queued = 1L << 40;
    else put(c, c->g->in_flight, t);
    flush(c);
  }
  for (int i = 0; i < group_count; i++) {
    group *g = &groups[i];
    g->started = t;
    if (g->rate <= 0) continue;
    long ns = 1e9 / (g->rate * g->conns);
    struct itimerspec every = {{ns / 1000000000, ns % 1000000000}, {ns / 1000000000, ns % 1000000000}};
    g->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    timerfd_settime(g->timer, 0, &every, NULL);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = g};
    epoll_ctl(world.poller, EPOLL_CTL_ADD, g->timer, &e);
  }
}

static void send_due(conn *conns, double t) {
  conn *first = conns;
  for (int i = 0; i < group_count; first += groups[i++].conns) {
    group *g = &groups[i];
    if (g->rate <= 0) continue;
    double tick = 1.0 / (g->rate * g->conns), due;
    for (; (due = g->started + g->ticks * tick) <= t; g->ticks++) {
      conn *c = &first[g->ticks % g->conns];
      if (c->fd < 0) continue;
      put(c, 1, due);
      flush(c);
    }
  }
}

static void begin_measuring(void) {
  world.phase = MEASURING;
  for (int i = 0; i < group_count; i++) groups[i].sent = groups[i].skipped = 0;
  start_processes();
}

static int parse_options(int argc, char **argv) {
  for (int i = 2; i < argc; i += 2) {
    char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (!value) return usage("an option without a value");
    else if (!strcmp(option, "-port")) world.port = atoi(value);
    else if (!strcmp(option, "-path")) world.path = value;
    else if (!strcmp(option, "-d")) seconds = atof(value);
    else if (!strcmp(option, "-w")) warm = atof(value);
    else if (!strcmp(option, "-n")) world.cycles_wanted = atol(value);
    else if (!strcmp(option, "-m")) world.per_stream = atoi(value);
    else if (!strcmp(option, "-abort")) world.aborting = atoi(value);
    else if (!strcmp(option, "-ramp")) ramp = atoi(value);
    else if (!strcmp(option, "-timeout")) timeout = atof(value);
    else if (!strcmp(option, "-group") && parse_group(value)) continue;
    else if (!strcmp(option, "-pids") && watch_processes(value)) continue;
    else return usage(option);
  }
  return 0;
}

static conn *make_conns(int total, int with_times) {
  conn *conns = calloc(total, sizeof *conns);
  for (int i = 0, k = 0; i < group_count; i++)
    for (int j = 0; j < groups[i].conns; j++, k++) {
      group *g = &groups[i];
      conns[k] = (conn){.is_conn = 1, .fd = -1, .id = k, .g = g};
      // Paced: room for two seconds of unanswered messages, which is also as far as the histogram goes.
      conns[k].times_cap = (g->rate > 0 ? (int)(2 * g->rate) + 8 : g->in_flight) + 1;
      conns[k].times = with_times ? calloc(conns[k].times_cap, sizeof(double)) : NULL;
    }
  return conns;
}

// Opens every connection; in a churn goes on until all cycles are done. False when the time ran out.
static int open_all(conn *conns, int total, uint8_t *buf) {
  double until = now() + timeout;
  int made = 0;
  while (world.churning ? world.cycles_done < world.cycles_wanted && world.gone < total
                        : world.opened + world.gone < total) {
    while (made < total && made - world.opened - world.gone < ramp) {
      world.cycles_started++;
      start(&conns[made++]);
    }
    wait_and_handle(1000, buf);
    if (now() > until) return 0;
  }
  return 1;
}

static int report_churn(double elapsed) {
  printf("{\"mode\":\"churn\",\"cycles\":%ld,\"per_s\":%.1f,\"elapsed_s\":%.3f,\"errors\":%ld,", world.cycles_done,
         world.cycles_done / elapsed, elapsed, world.errors);
  print_latencies("cycle_", &groups[0]);
  printf(",");
  print_latencies("open_", &world.handshakes);
  printf(",");
  print_processes();
  return world.gone > 0;
}

static int hold_idle(double open_s, uint8_t *buf) {
  for (double until = now() + seconds; now() < until;) wait_and_handle(100, buf);
  printf("{\"mode\":\"idle\",\"conns\":%d,\"open_s\":%.3f,\"errors\":%ld,", world.opened, open_s, world.errors);
  print_processes();
  return world.gone > 0;
}

static int measure_load(conn *conns, int total, double open_s, uint8_t *buf) {
  double ready = now(), measured = 0, t = ready, own_cpu = 0;
  world.phase = WARMING;
  start_sending(conns, total, ready);
  while (world.gone < total && !(world.phase == MEASURING && t - measured >= seconds)) {
    wait_and_handle(100, buf);
    t = now();
    send_due(conns, t);
    if (world.phase == WARMING && t - ready >= warm) {
      begin_measuring();
      own_cpu = read_proc_usage(getpid()).cpu_s;
      measured = t;
    }
  }
  if (world.gone == total) {
    printf("{\"error\":\"every connection was closed\",\"errors\":%ld}\n", world.errors);
    return 1;
  }
  own_cpu = read_proc_usage(getpid()).cpu_s - own_cpu;
  printf("{\"mode\":\"load\",\"elapsed_s\":%.4f,\"open_s\":%.3f,\"errors\":%ld,\"generator_cpu_s\":%.6f,\"groups\":[",
         t - measured, open_s, world.errors, own_cpu);
  for (int i = 0; i < group_count; i++) {
    group *g = &groups[i];
    printf("%s{\"name\":\"%s\",\"conns\":%d,\"size\":%ld,\"messages\":%ld,\"sent\":%ld,\"skipped\":%ld,", i ? "," : "",
           g->name, g->conns, g->size, g->messages, g->sent, g->skipped);
    print_latencies("", g);
    printf("}");
  }
  printf("],");
  print_processes();
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2) return usage("no mode");
  int idle = !strcmp(argv[1], "idle"), serving = !strcmp(argv[1], "serve");
  world.churning = !strcmp(argv[1], "churn");
  if (!idle && !serving && !world.churning && strcmp(argv[1], "load")) return usage("unknown mode");
  if (parse_options(argc, argv)) return 2;
  if (serving) return serve_echo(world.port);
  if (!group_count) return usage("no -group");
  if (world.churning && (group_count > 1 || world.cycles_wanted < 1)) return usage("churn needs one -group and -n");

  if (world.churning && groups[0].conns > world.cycles_wanted) groups[0].conns = world.cycles_wanted;
  int total = 0;
  for (int i = 0; i < group_count; i++) total += groups[i].conns;
  world.poller = epoll_create1(0);
  world.handshakes.buckets = calloc(BUCKETS, sizeof *world.handshakes.buckets);
  note_processes();
  conn *conns = make_conns(total, !idle);
  uint8_t *buf = malloc(READ_BYTES);
  double began = now();
  if (!open_all(conns, total, buf)) {
    printf("{\"error\":\"timed out\",\"opened\":%d,\"cycles\":%ld,\"errors\":%ld}\n", world.opened, world.cycles_done,
           world.errors);
    return 1;
  }
  double open_s = now() - began;
  if (world.churning) return report_churn(open_s);
  return idle ? hold_idle(open_s, buf) : measure_load(conns, total, open_s, buf);
}
