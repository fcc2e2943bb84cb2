/* A measured process that is spoken to in lines. It gets a given number of processors, and what it
 * says on standard error goes to a file. A question without an answer in time ends it. */
#ifndef NNC_BENCH_CHILD_H
#define NNC_BENCH_CHILD_H
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct {
    pid_t pid; /* 0: none */
    int to, from;
    char buffer[4096];
    size_t filled;
    double started;
} Child;

double child_clock(void); /* seconds */
/* arguments end with NULL; log: file of its standard error. */
bool child_start(Child *child, char *const *arguments, int processors, const char *log);
bool child_line(Child *child, double timeout, char *line, size_t size); /* without its end */
bool child_say(Child *child, const char *line);
double child_peak_bytes(const Child *child); /* largest resident size so far */
void child_stop(Child *child);

#endif
