/* Samples of every operation, for tests that go over the whole table: gradients, interpreter
 * against compiled code.
 *
 * op_samples[OP] builds its index-th sample: leaves, and one node of that operation on them, or
 * a loop or branch around it. At least twenty where shapes vary, among them sizes 0 and 1, every
 * axis and a free dimension B. An operation without a row here does not link. */
#ifndef NNC_TESTS_SUPPORT_OP_SAMPLES_H
#define NNC_TESTS_SUPPORT_OP_SAMPLES_H
#include "compiler/graph/build.h"

typedef enum {
    FILL_REAL,  /* in [low, high], all distinct and irregular */
    FILL_AWAY,  /* the same with either sign: magnitude in [low, high] */
    FILL_INDEX, /* integers 0 .. high-1 */
    FILL_BOOL
} Fill;

typedef struct {
    Node *node;
    Fill fill;
    double low, high;
} SampleLeaf;

typedef struct {
    Graph *graph;
    DType real;      /* type of float leaves: f32 or f64 */
    const Dim *free; /* the symbol B */
    Node *result;
    SampleLeaf leaves[8];
    int leaf_count;
    const char *refused; /* text of a node that was refused: a mistake of the sample */
} Sample;

/* False: there is no index-th sample. sample->graph, real and free are set by the caller. */
typedef bool OpSample(Sample *sample, int index);
extern OpSample *const op_samples[OP_COUNT];

/* The data of a leaf: `elements` values of its type. */
void sample_fill(const SampleLeaf *leaf, uint32_t seed, int64_t elements, void *data);

#endif
