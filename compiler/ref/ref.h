/* The interpreter: slow, obvious, permanent. It evaluates a graph node by node on host memory
 * with the scalar functions of runtime/base and the orders of graph/order.h, and gives the bits
 * that compiled code must give. It folds constants (passes/fold.c), is the oracle of the tests,
 * and is --engine=ref. */
#ifndef NNC_REF_REF_H
#define NNC_REF_REF_H
#include "compiler/graph/graph.h"
#include "include/nnc/abi.h"

typedef struct {
    const Graph *graph;
    const int64_t *symbols;      /* value per symbol of graph->dims */
    const void *(*leaf)(void *user, const Node *leaf); /* address of the data of an input, param or state */
    void *user;
    uint64_t seed, step;
    /* Host functions by name, NULL: none. */
    nnc_extern *(*find_extern)(void *user, const char *name, void **extern_user);
    const Node *failed;          /* out: first check, division or index of the graph that failed, NULL: none */
    int64_t failed_element;      /* of its result, row-major; of scatter_add: of the index; the lowest that fails,
                                  in whatever iteration */
} RefRun;

/* Evaluates all live nodes; values[i] gets the address of root i (in arena, row-major). False:
 * run->failed says where (values are still computed, with the documented fallback), or memory
 * for a tensor was refused (run->failed NULL). */
bool ref_run(RefRun *run, Arena *arena, const void **values);
/* Like ref_run, but calls visit for every live node in order with its data, in a loop in every
 * iteration (its size is that of its type). For gradient checks and NaN hunting. */
bool ref_visit(RefRun *run, Arena *arena, void (*visit)(void *user, const Node *node, const void *data), void *visitor);

#endif
