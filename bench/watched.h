// The processes that a load generator watches: `-pids NAME:PID,…`, and what became of them as JSON.
#ifndef WATCHED_H
#define WATCHED_H

int watch_processes(char *spec);  // takes the option apart; 0 when it is wrong or names too many
void note_processes(void);        // before anything is opened: memory, descriptors, threads
void start_processes(void);       // when measuring begins: CPU time
void print_processes(void);       // `"processes":[…]}` and a newline, which ends the JSON line

#endif
