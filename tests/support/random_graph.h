/* Random well-typed graphs for differential tests: every operation, ranks 0 to 5, sizes 0 and 1
 * included, all dtypes. The same seed and options give the same graph. Leaves are in0, in1, ..;
 * results out0, out1, ..; params and states may have updates. A graph made without may_fail runs
 * without failures for any B >= 0: indices are reduced modulo the axis, integer divisors are at
 * least 1, conditions of checks are true. */
#ifndef NNC_TESTS_RANDOM_GRAPH_H
#define NNC_TESTS_RANDOM_GRAPH_H
#include "compiler/graph/graph.h"

typedef struct {
    int operations;         /* how many to try, 0: 12 */
    int64_t max_elements;   /* of any tensor with B = 8, 0: 4096 */
    bool free_symbol;       /* leaves may have axes of size B */
    bool may_fail;          /* raw indices, divisors and conditions */
    bool loops;             /* loops and branches, two deep */
    int products;           /* so many products and convolutions of awkward sizes and layouts first */
    bool only_f32;          /* float leaves and constants are f32 */
    bool small_types; /* f16, bf16 and i8 as often as others; arithmetic on them needs the pass
                               widen before lowering */
    const uint8_t *allowed; /* a byte per OpCode for the operations to draw from, NULL: all but
                               call. Operands may need others. */
} RandomGraphOptions;

Graph *random_graph(Arena *arena, DimTable *dims, uint64_t seed, const RandomGraphOptions *options);

/* Data of leaves, made when asked for: a function of the seed, the name and the sizes. Moderate
 * values; with `special` also zeros of both signs, infinities, NaN, denormals and the extremes of
 * integers. */
typedef struct {
    Arena *arena;
    const int64_t *symbols;
    uint64_t seed;
    bool special;
} RandomData;

const void *random_leaf(void *random_data, const Node *leaf); /* fits RefRun.leaf */
/* Equal to the bit, but any NaN equals any NaN (payloads are not part of the contract). *where: the
 * first that differs. */
bool random_same(DType dtype, const void *a, const void *b, int64_t count, int64_t *where);
int64_t random_elements(const Type *type, const int64_t *symbols);

#endif
