/* For tests that use nnc as a host would, through nnc/nnc.h alone: small whole programs, and runs
 * of them that keep what they computed. */
#ifndef NNC_TESTS_API_H
#define NNC_TESTS_API_H
#include "nnc/nnc.h"

/* Programs with data of their own, few rows and a short last batch. All have one train block. */
typedef struct {
    const char *name; /* of the train block, too */
    const char *text;
} ApiProgram;

extern const ApiProgram api_programs[]; /* the last has no name */
const char *api_text(const char *name); /* of the program of that name */

nnc_context *api_context(int threads);
/* Parses a text that is expected to be right. */
nnc_program *api_parse(nnc_context *context, const char *text, const nnc_program_options *options);
/* A tensor of the shape with numbers in [-1, 1) that depend on `seed`. */
nnc_tensor *api_input(int rank, const int64_t *sizes, unsigned seed);
nnc_session *api_session(nnc_program *program,
                         const char *weights); /* holds the model; its first block */

typedef struct {
    nnc_status status;
    int steps;
    double losses[512]; /* of the steps */
    double metrics[8];  /* over the training rows, in the last epoch */
    size_t metric_count;
    unsigned char *weights; /* all tensors of the model, one after the other */
    size_t bytes;
} ApiRun;

/* Trains the program from start to end. */
ApiRun api_train(const char *text, const nnc_program_options *options, int threads, uint64_t seed);
/* The same for a text that may be wrong: the status of what failed, and what nnc_diagnostics
 * says in the context. */
ApiRun api_try(nnc_context *context, const char *text, const nnc_program_options *options, uint64_t seed);
bool api_same(const ApiRun *a, const ApiRun *b); /* the same bits */
void api_free(ApiRun *run);

#endif
