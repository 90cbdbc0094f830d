#define _GNU_SOURCE
#include "watched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proc_usage.h"

enum { PROCESSES_MAX = 64 };

static struct {
  char name[24];
  int pid;
  proc_usage before, start;
} processes[PROCESSES_MAX];
static int process_count;

int watch_processes(char *spec) {
  char *rest;
  for (char *item = strtok_r(spec, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
    char *colon = strchr(item, ':');
    if (!colon || process_count == PROCESSES_MAX) return 0;
    snprintf(processes[process_count].name, sizeof processes->name, "%.*s", (int)(colon - item), item);
    processes[process_count++].pid = atoi(colon + 1);
  }
  return 1;
}

void note_processes(void) {
  for (int i = 0; i < process_count; i++)
    processes[i].before = processes[i].start = read_proc_usage(processes[i].pid);
}

void start_processes(void) {
  for (int i = 0; i < process_count; i++) processes[i].start = read_proc_usage(processes[i].pid);
}

// CPU seconds since measuring began, and the rest as [before, now].
void print_processes(void) {
  printf("\"processes\":[");
  for (int i = 0; i < process_count; i++) {
    proc_usage u = read_proc_usage(processes[i].pid), b = processes[i].before;
    printf("%s{\"name\":\"%s\",\"pid\":%d,\"cpu_s\":%.6f,\"rss_kib\":[%ld,%ld],\"fds\":[%d,%d],\"threads\":[%d,%d]}",
           i ? "," : "", processes[i].name, processes[i].pid, u.cpu_s - processes[i].start.cpu_s, b.rss_kib, u.rss_kib,
           b.fds, u.fds, b.threads, u.threads);
  }
  printf("]}\n");
}
