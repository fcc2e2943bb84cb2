/* The sample block of a program, run with the weights of a Run. */
#ifndef NNC_DRIVER_SAMPLE_H
#define NNC_DRIVER_SAMPLE_H
#include "compiler/driver/run.h"

typedef struct Sampler Sampler;

typedef struct {
    const char *prompt;  /* NULL or "": a line's end */
    int64_t tokens;      /* of the text; 0: as many as the context has */
    double temperature;  /* 0: always the most likely token */
    int64_t top_k;       /* 0: all */
    double top_p;        /* 1: all */
    uint64_t seed;
} SampleOptions;

/* Compiles the block. Errors are in the context. The run outlives the sampler. */
nnc_status sampler_open(Run *run, Sampler **sampler);
void sampler_close(Sampler *sampler); /* NULL is allowed */
/* Appends the text, prompt included, and writes the picture, each if the block has it. */
nnc_status sampler_draw(Sampler *sampler, const SampleOptions *options, const char *picture, StrBuf *text);

#endif
