/* What this machine can do now: multiply-adds in registers, and memory moved by a triad (a[i] =
 * b[i] + s * c[i]; 12 bytes an element are counted). Both on one thread and on as many as are
 * asked for, each tied to a processor of its own, by the best round of each and its processor
 * time. */
#ifndef NNC_BENCH_MACHINE_H
#define NNC_BENCH_MACHINE_H
#include <stddef.h>

typedef struct Machine Machine;

Machine *machine_open(void); /* ends the program when code cannot be generated */
void machine_close(Machine *machine);
double machine_peak(Machine *machine, int threads);   /* GFLOP/s */
double machine_stream(Machine *machine, int threads); /* GB/s */
void machine_name(char *name, size_t size);           /* of the processor */
double machine_load(void); /* processes that run or want to, over the last minute */

#endif
