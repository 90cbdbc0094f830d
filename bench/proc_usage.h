// What /proc says about a process: CPU seconds, resident memory, open descriptors, threads.
#ifndef PROC_USAGE_H
#define PROC_USAGE_H

typedef struct {
  double cpu_s;  // user + system, all threads, nanosecond clock (not the 10 ms ticks of /proc/PID/stat)
  long rss_kib;
  int fds;
  int threads;
} proc_usage;

// Every field is -1 when the process is gone or belongs to somebody else.
proc_usage read_proc_usage(int pid);

#endif
