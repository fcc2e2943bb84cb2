/* Gather and scatter_add in the interpreter. An index out of range is a failure of the node: gather
 * then reads the nearest row (0 from an empty axis), scatter_add leaves the update out.
 *
 * x is seen as [outer][axis][inner], the index as [count], gathered rows and updates as
 * [outer][count][inner]. */
#include "compiler/ref/eval.h"

#include <string.h>

typedef struct {
    int64_t outer, size, inner, count;
    const RefTensor *index;
} Rows;

static Rows split_rows(const RefEval *e)
{
    const RefTensor *x = ref_in(e, 0);
    Rows rows = {
        .outer = 1, .inner = 1, .size = x->dims[e->node->attr.axis], .index = ref_in(e, 1)};
    rows.count = rows.index->count;
    for (int i = 0; i < x->rank; i++) {
        if (i != e->node->attr.axis)
            *(i < e->node->attr.axis ? &rows.outer : &rows.inner) *= x->dims[i];
    }
    return rows;
}

static int64_t index_at(const RefTensor *index, int64_t element)
{
    return index->dtype == DT_I32 ? ((const int32_t *)index->data)[element]
                                  : ((const int64_t *)index->data)[element];
}

static void gather(RefEval *e, const Rows *r)
{
    int64_t bytes = r->inner * (int64_t)dtype_bytes(e->out->dtype), row = 0;
    const char *x = ref_in(e, 0)->data;
    char *out = e->out->data;
    for (int64_t o = 0; o < r->outer; o++) {
        for (int64_t i = 0; i < r->count; i++, row++) {
            int64_t at = index_at(r->index, i);
            if (at < 0 || at >= r->size) {
                ref_fail(e, row * r->inner);
                at = at < 0 ? 0 : r->size - 1;
            }
            if (r->size == 0)
                memset(out + row * bytes, 0, (size_t)bytes);
            else
                memcpy(out + row * bytes, x + (o * r->size + at) * bytes, (size_t)bytes);
        }
    }
}

static void scatter_add(RefEval *e, const Rows *r)
{
    const RefTensor *x = ref_in(e, 0);
    int64_t bytes = r->inner * (int64_t)dtype_bytes(x->dtype);
    const char *updates = ref_in(e, 2)->data;
    char *out = e->out->data;
    if (x->count > 0)
        memcpy(out, x->data, (size_t)x->count * dtype_bytes(x->dtype));
    for (int64_t o = 0; o < r->outer; o++) {
        for (int64_t i = 0; i < r->count; i++, updates += bytes) {
            int64_t at = index_at(r->index, i);
            if (at < 0 || at >= r->size)
                ref_fail(e, i);
            else
                ref_combine(SCALAR_ADD, x->dtype, out + (o * r->size + at) * bytes, updates,
                            r->inner);
        }
    }
}

void ref_index(RefEval *e)
{
    Rows rows = split_rows(e);
    if (rows.outer == 0 || rows.inner == 0)
        return; /* nothing is read or written: no index is looked at */
    if (e->node->op == OP_GATHER)
        gather(e, &rows);
    else
        scatter_add(e, &rows);
}
