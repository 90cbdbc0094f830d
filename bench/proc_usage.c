#define _GNU_SOURCE
#include "proc_usage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

proc_usage read_proc_usage(int pid) {
  proc_usage usage = {.cpu_s = -1, .rss_kib = -1, .fds = -1, .threads = -1};
  clockid_t clock;
  struct timespec spent;
  if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &spent) == 0)
    usage.cpu_s = spent.tv_sec + spent.tv_nsec * 1e-9;

  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *status = fopen(path, "r");
  if (!status) return usage;
  while (fgets(line, sizeof line, status)) {
    if (!strncmp(line, "VmRSS:", 6)) usage.rss_kib = atol(line + 6);
    if (!strncmp(line, "Threads:", 8)) usage.threads = atoi(line + 8);
  }
  fclose(status);

  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *descriptors = opendir(path);
  if (!descriptors) return usage;
  int entries = 0;
  while (readdir(descriptors)) entries++;
  closedir(descriptors);
  usage.fds = entries - 2;  // "." and ".."
  return usage;
}
