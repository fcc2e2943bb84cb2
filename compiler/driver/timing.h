/* What `nnc time` found, for its printers: rows of kernels, the limits of the machine, steps. */
#ifndef NNC_DRIVER_TIMING_H
#define NNC_DRIVER_TIMING_H
#include "compiler/driver/peak.h"
#include "compiler/driver/profile.h"
#include "compiler/schedule/work.h"

/* Groups that launch the same kernels for one line of the model. */
typedef struct {
    Span span;
    const char *place;  /* "cnn.nn:17" */
    const char *source; /* the line's text, trimmed */
    const char *what;   /* "contract f32[B, 26, 26, 32] conv" */
    const char *kernel; /* the one that takes longest; of a host function its name */
    uint32_t groups, calls;
    double seconds, median;  /* a step: least and middle */
    Work work;               /* a step */
    double limit;            /* seconds that the work takes at the limit that applies */
    bool computes;           /* the limit is arithmetic, not memory */
    MemoryLevel level;
} TimeRow;

typedef struct {
    const char *kernel;
    double milliseconds; /* alone, from kernel IR to machine code */
    uint32_t bytes, instructions, launches;
} CodeRow;

typedef struct {
    const char *file, *block, *function, *cpu;
    int64_t rows;
    uint32_t kernels, launches, steps;
    double seconds, median; /* of a whole step */
    double code_ms;
    CompileCost cost;
    Peak peak;
    int64_t arena_bytes, live_bytes; /* as planned; the least for this order of groups */
    int64_t argument_bytes;          /* parameters, states, inputs and outputs */
    TimeRow *items;
    uint32_t count;
    CodeRow *codes;
    uint32_t code_count; /* 0: not asked for */
    double limit;        /* sum over the rows */
} Timing;

void timing_text(const Timing *timing, StrBuf *out);
void timing_json(const Timing *timing, StrBuf *out);
/* Trace Event Format: one line of events per thread, and one of whole launches. */
void timing_trace(const Profile *profile, const Stages *stages, const SourceMap *sources,
                  StrBuf *out);
/* "cnn.nn:17" in arena; "" for no place. */
const char *timing_place(Arena *arena, const SourceMap *sources, Span span);
/* Where in the text a group comes from. */
Span group_span(const Group *group);
/* timing_code.c: what each kernel costs alone. False: *error (malloc'd). */
bool timing_code(const Stages *stages, const CompileOptions *options, Arena *arena, Timing *timing,
                 char **error);

#endif
