/* One graph in the interpreter, for data: arrays that a program computes, statistics of its
 * training rows. */
#ifndef NNC_DRIVER_EVALUATION_H
#define NNC_DRIVER_EVALUATION_H
#include "compiler/driver/handles.h"

typedef struct {
    nnc_program *program;
    Arena *arena;
    CompileOptions options;
    Compiled *compiled;
    Session *session;
    const Function *function;
    Span span; /* of the text that asked for it */
} Evaluation;

/* False: errors are in the context. evaluation_close in any case. */
bool evaluation_open(Evaluation *evaluation, nnc_program *program, const char *name,
                     const Graph *graph, Span span);
void evaluation_close(Evaluation *evaluation);
bool evaluation_call(Evaluation *evaluation, const int64_t *dims, void *const *buffers,
                     uint64_t seed);
/* Says that memory was refused. False. */
bool evaluation_no_memory(const nnc_program *program, Span span);

#endif
