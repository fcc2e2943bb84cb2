/* What the parts of the interpreter share: tensors in host memory and one function per class of
 * operation. */
#ifndef NNC_REF_EVAL_H
#define NNC_REF_EVAL_H
#include "compiler/graph/order.h"
#include "compiler/graph/region.h"
#include "compiler/ref/ref.h"
#include "runtime/base/scalar.h"

typedef struct {
    void *data;
    int64_t refs; /* tensors that stand on it */
    bool owned;   /* from malloc; else a leaf or a literal */
} RefBuffer;

typedef struct {
    DType dtype;
    int rank;
    int64_t dims[MAX_RANK];
    int64_t count; /* elements */
    void *data;    /* row-major */
    RefBuffer *buffer;
} RefTensor;

typedef VEC(const Node *) NodeList;

/* What there is to do in a graph, found once. */
typedef struct {
    Regions *regions;
    NodeList *bodies; /* per region its live nodes in order */
    NodeList *ends;   /* per node id: the nodes that nothing reads once it is evaluated */
    NodeList *stacks; /* per node id of a loop */
    const Node **closers; /* by number of a loop or branch */
} RefPlan;

typedef void RefVisitor(void *user, const Node *node, const void *data);

typedef struct {
    RefRun *run;
    RefPlan plan;
    RefVisitor *visit; /* NULL: none */
    void *visitor;
    RefTensor *tensors;  /* by node id */
    RefTensor **results; /* by node id of a loop or branch: what `final` gives */
    int64_t *now;        /* by number of a loop: its t */
    int64_t *turns;      /* by number of a loop: how many it made when it ran last */
    const Node *node;   /* being evaluated */
    RefTensor
        *out; /* its result: sizes set, memory there unless the operation shares its operand's */
    bool refused; /* memory was */
    bool stopped; /* a size of a node inside of the one being evaluated is impossible */
} RefEval;

/* Operand i of the node being evaluated. */
static inline const RefTensor *ref_in(const RefEval *e, int i)
{
    return &e->tensors[e->node->src[i]->id];
}

/* Evaluates the nodes of a region once, in order. False: the run cannot go on. */
bool ref_region(RefEval *e, uint32_t region);
/* Lets go of what the nodes of a region hold. */
void ref_leave(RefEval *e, uint32_t region);
void ref_release(RefTensor *tensor);
void ref_share(RefTensor *tensor, const RefTensor *other); /* stands on other's memory, with its sizes */
/* Sizes and memory for the result of a node. False: the run cannot go on. */
bool ref_prepare(RefEval *e, const Node *node);

/* The node failed at this element of its result; the first node of the graph that fails and its
 * lowest element, over all iterations, are kept. */
void ref_fail(RefEval *e, int64_t element);
/* Scratch memory of count elements, freed by the caller; NULL: e->refused is set. */
void *ref_scratch(RefEval *e, int64_t count, DType dtype);
void ref_strides(const RefTensor *tensor, int64_t *strides); /* in elements */
/* A value of a dim, or -1 with a failure when it is negative, too large or undefined. */
int64_t ref_dim(RefEval *e, const Dim *dim);

/* Copies a block: dst[sum of i * dst_strides] = src[sum of i * src_strides] over all i below dims.
 * Strides in elements. */
typedef struct {
    int rank;
    int64_t dims[MAX_RANK], dst_strides[MAX_RANK], src_strides[MAX_RANK];
} RefBlock;
void ref_copy_block(const RefBlock *block, void *dst, const void *src, size_t element_bytes);
void ref_fill(void *data, int64_t count, const void *value, size_t element_bytes);

/* One function per class; ref.c has those of leaves, elementwise operations and calls. */
void ref_move(RefEval *e);
void ref_reduce(RefEval *e);
void ref_contract(RefEval *e);
void ref_window(RefEval *e);
void ref_index(RefEval *e);
void ref_loop(RefEval *e); /* all of class LOOP; loops and branches evaluate their regions */

/* What a reduction of that op starts from. */
void ref_identity(OpCode op, DType dtype, void *value);
void ref_combine(ScalarOp op, DType dtype, void *acc, const void *x,
                 int64_t count); /* acc[i] = op(acc[i], x[i]) */

#endif
