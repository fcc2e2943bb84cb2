/* Reductions in the interpreter, in the orders of graph/order.h, and the first-largest searches.
 *
 * The axes of the operand are split: kept axes K, reduced axes R without the innermost when that
 * one is reduced (lanes).
 *
 *   no lanes   total[K] = identity
 *              for every leaf of R0:  part[K] = identity
 *                                     for r in the leaf: part[K] = op(part[K], x[r, K])
 *                                     total[K] = op(total[K], part[K])
 *   lanes      the same for one k at a time, where x[r, k] is the lane sum of a row
 *
 * op(acc, x) always has the accumulator on the left, which decides between +0 and -0 in amax and
 * amin. */
#include "compiler/ref/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double float_identity(ScalarOp op)
{
    return op == SCALAR_MUL   ? 1.0
           : op == SCALAR_MAX ? -INFINITY
           : op == SCALAR_MIN ? INFINITY
                              : 0.0;
}

void ref_identity(OpCode op, DType dtype, void *value)
{
    ScalarOp combiner = graph_combiner(op);
    if (dtype_is_float(dtype)) {
        double real = float_identity(combiner);
        scalar_convert(DT_F64, dtype, &real, value, 1);
        return;
    }
    int64_t integer = combiner == SCALAR_MAX   ? dtype_least(dtype)
                      : combiner == SCALAR_MIN ? dtype_largest(dtype)
                                               : combiner == SCALAR_MUL || combiner == SCALAR_AND;
    scalar_convert(DT_I64, dtype, &integer, value, 1);
}

void ref_combine(ScalarOp op, DType dtype, void *acc, const void *x, int64_t count)
{
    if (op == SCALAR_ADD && dtype == DT_F32) { /* nearly all calls are this one */
        float *to = acc;
        const float *from = x;
        for (int64_t i = 0; i < count; i++)
            to[i] += from[i];
        return;
    }
    scalar_map(op, dtype, (const void *const[]){acc, x}, acc, (size_t)count);
}

/* The operand as kept axes and reduced axes, each with sizes and strides, and a row length for
 * lanes. */
typedef struct {
    OpCode op;
    ScalarOp combiner;
    DType dtype;
    size_t bytes;
    int kept, reduced;
    int64_t kept_dims[MAX_RANK], kept_strides[MAX_RANK];
    int64_t reduced_dims[MAX_RANK], reduced_strides[MAX_RANK];
    int64_t row;  /* lanes: length of the innermost axis */
    int64_t leaf; /* indices of reduced axis 0 per leaf */
    char identity[8];
    const char *data;
} Reduction;

static Reduction split_axes(RefEval *e, SumOrder order)
{
    const RefTensor *x = ref_in(e, 0);
    const Axes *axes = &e->node->attr.axes;
    int64_t strides[MAX_RANK];
    Reduction r = {.op = e->node->op,
                   .combiner = graph_combiner(e->node->op),
                   .dtype = x->dtype,
                   .bytes = dtype_bytes(x->dtype),
                   .leaf = order.leaf,
                   .data = x->data};
    ref_strides(x, strides);
    ref_identity(r.op, x->dtype, r.identity);
    for (int i = 0, next = 0; i < x->rank; i++) {
        bool reduced = next < axes->count && axes->axis[next] == i;
        next += reduced;
        if (reduced && order.lanes && i == x->rank - 1) {
            r.row = x->dims[i];
        } else if (reduced) {
            r.reduced_dims[r.reduced] = x->dims[i];
            r.reduced_strides[r.reduced++] = strides[i];
        } else if (r.kept > 0 && r.kept_strides[r.kept - 1] == strides[i] * x->dims[i]) {
            r.kept_dims[r.kept - 1] *= x->dims[i]; /* neighbours in memory are one axis */
            r.kept_strides[r.kept - 1] = strides[i];
        } else {
            r.kept_dims[r.kept] = x->dims[i];
            r.kept_strides[r.kept++] = strides[i];
        }
    }
    return r;
}

/* The next index of an odometer, and the offset that goes with it; false: it was the last. */
static bool step_index(int rank, const int64_t *dims, const int64_t *strides, int64_t *index,
                       int64_t *offset)
{
    for (int i = rank; i-- > 0;) {
        *offset += strides[i];
        if (++index[i] < dims[i])
            return true;
        *offset -= strides[i] * dims[i];
        index[i] = 0;
    }
    return false;
}

/* Lanes of one row, added by halves into *out. */
static void reduce_row(const Reduction *r, const char *row, void *out)
{
    double room[SUM_LANES];
    char *lanes = (char *)room;
    ref_fill(lanes, SUM_LANES, r->identity, r->bytes);
    for (int64_t i = 0; i < r->row; i += SUM_LANES) {
        int64_t count = r->row - i < SUM_LANES ? r->row - i : SUM_LANES;
        ref_combine(r->combiner, r->dtype, lanes, row + (size_t)i * r->bytes, count);
    }
    for (int half = SUM_LANES / 2; half > 0; half /= 2)
        ref_combine(r->combiner, r->dtype, lanes, lanes + (size_t)half * r->bytes, half);
    memcpy(out, lanes, r->bytes);
}

/* acc[k] op= x[k] for all kept axes of one reduced index (no lanes). */
static void add_slab(const Reduction *r, char *acc, const char *x)
{
    int64_t index[MAX_RANK] = {0}, offset = 0, inner = r->kept_dims[r->kept - 1];
    do {
        ref_combine(r->combiner, r->dtype, acc, x + offset * (int64_t)r->bytes, inner);
        acc += inner * (int64_t)r->bytes;
    } while (step_index(r->kept - 1, r->kept_dims, r->kept_strides, index, &offset));
}

/* Goes over reduced axes 1.. at index `first` of axis 0 and adds what lies there to acc: a slab, or
 * the sum of a row. */
static void add_outer(const Reduction *r, char *acc, const char *x, int64_t first)
{
    int64_t index[MAX_RANK] = {0}, offset = r->reduced > 0 ? first * r->reduced_strides[0] : 0;
    int rest = r->reduced > 0 ? r->reduced - 1 : 0;
    char row[8];
    for (int i = 1; i < r->reduced; i++)
        if (r->reduced_dims[i] == 0)
            return;
    do {
        const char *at = x + offset * (int64_t)r->bytes;
        if (r->row < 0) {
            add_slab(r, acc, at);
        } else {
            reduce_row(r, at, row);
            ref_combine(r->combiner, r->dtype, acc, row, 1);
        }
    } while (step_index(rest, r->reduced_dims + 1, r->reduced_strides + 1, index, &offset));
}

/* count accumulators at out, from the data at x; part is memory for as many. */
static void reduce_block(const Reduction *r, char *out, char *part, const char *x, int64_t count)
{
    int64_t outer = r->reduced > 0 ? r->reduced_dims[0] : 1, leaf = r->leaf > 0 ? r->leaf : outer;
    ref_fill(out, count, r->identity, r->bytes);
    for (int64_t first = 0; first < outer; first += leaf) {
        int64_t end = outer - first < leaf ? outer : first + leaf;
        char *acc = r->leaf > 0 ? part : out;
        if (acc == part)
            ref_fill(part, count, r->identity, r->bytes);
        for (int64_t i = first; i < end; i++)
            add_outer(r, acc, x, i);
        if (acc == part)
            ref_combine(r->combiner, r->dtype, out, part, count);
    }
}

static void reduce_axes(RefEval *e)
{
    SumOrder order = graph_sum_order(e->node);
    Reduction r = split_axes(e, order);
    char *out = e->out->data;
    if (e->out->count == 0)
        return;
    if (!order.lanes) {
        r.row = -1;
        char *part = ref_scratch(e, r.leaf > 0 ? e->out->count : 0, r.dtype);
        if (part != NULL)
            reduce_block(&r, out, part, r.data, e->out->count);
        free(part);
        return;
    }
    int64_t index[MAX_RANK] = {0}, offset = 0;
    char part[8];
    do {
        if (r.reduced == 0)
            reduce_row(&r, r.data + offset * (int64_t)r.bytes, out);
        else
            reduce_block(&r, out, part, r.data + offset * (int64_t)r.bytes, 1);
        out += r.bytes;
    } while (step_index(r.kept, r.kept_dims, r.kept_strides, index, &offset));
}

/* First largest or smallest along an axis: best is replaced by what is beyond it, or by the first
 * NaN. */

#define DEFINE_ARG(Name, Type)                                                                     \
    static int32_t Name(const void *data, int64_t count, int64_t stride, bool smallest)            \
    {                                                                                              \
        const Type *x = data;                                                                      \
        int64_t best = 0;                                                                          \
        for (int64_t i = 1; i < count; i++) {                                                      \
            Type value = x[i * stride], kept = x[best * stride];                                   \
            if ((smallest ? value < kept : value > kept) || (value != value && kept == kept))      \
                best = i;                                                                          \
        }                                                                                          \
        return (int32_t)best;                                                                      \
    }

DEFINE_ARG(arg_u8, uint8_t)
DEFINE_ARG(arg_i8, int8_t)
DEFINE_ARG(arg_i32, int32_t)
DEFINE_ARG(arg_i64, int64_t)
DEFINE_ARG(arg_f32, float)
DEFINE_ARG(arg_f64, double)

static int32_t (*const arg_functions[DT_COUNT])(const void *, int64_t, int64_t, bool) = {
    [DT_BOOL] = arg_u8, [DT_U8] = arg_u8,   [DT_I32] = arg_i32, [DT_I64] = arg_i64,
    [DT_F32] = arg_f32, [DT_F64] = arg_f64, [DT_I8] = arg_i8,
};

static void reduce_arg(RefEval *e)
{
    const RefTensor *x = ref_in(e, 0);
    int64_t strides[MAX_RANK], length = x->dims[e->node->attr.axis];
    int32_t *out = e->out->data;
    ref_strides(x, strides);
    int64_t inner = strides[e->node->attr.axis];
    if (length == 0 && e->out->count > 0)
        ref_fail(e, 0);
    for (int64_t i = 0; i < e->out->count; i++) {
        int64_t offset = i / inner * inner * length + i % inner;
        const char *at = (const char *)x->data + offset * (int64_t)dtype_bytes(x->dtype);
        out[i] =
            length == 0 ? 0 : arg_functions[x->dtype](at, length, inner, e->node->op == OP_ARGMIN);
    }
}

/* Running sums from the identity, sequential along the axis and elementwise over the inner axes. */
static void reduce_cumsum(RefEval *e)
{
    const RefTensor *x = ref_in(e, 0);
    int64_t strides[MAX_RANK], length = x->dims[e->node->attr.axis];
    ref_strides(x, strides);
    int64_t inner = strides[e->node->attr.axis];
    int64_t slab = inner * (int64_t)dtype_bytes(x->dtype);
    char *out = e->out->data;
    if (x->count == 0)
        return;
    memset(out, 0, (size_t)(x->count * (int64_t)dtype_bytes(x->dtype)));
    for (int64_t i = 0; i < x->count / inner; i++) {
        if (i % length > 0)
            memcpy(out + i * slab, out + (i - 1) * slab, (size_t)slab);
        ref_combine(SCALAR_ADD, x->dtype, out + i * slab, (const char *)x->data + i * slab, inner);
    }
}

/* ---- argsort ---- */

/* Does element a come strictly before element b? NaN comes after every number. */
#define BEFORE(name, type)                                                                         \
    static bool before_##name(const void *data, int64_t a, int64_t b)                              \
    {                                                                                              \
        type x = ((const type *)data)[a], y = ((const type *)data)[b];                             \
        return x < y || (x == x && y != y);                                                        \
    }
BEFORE(u8, uint8_t)
BEFORE(i8, int8_t)
BEFORE(i32, int32_t)
BEFORE(i64, int64_t)
BEFORE(f32, float)
BEFORE(f64, double)

typedef bool Before(const void *data, int64_t a, int64_t b);

static Before *const before_functions[DT_COUNT] = {
    [DT_U8] = before_u8,   [DT_I32] = before_i32, [DT_I64] = before_i64,
    [DT_F32] = before_f32, [DT_F64] = before_f64, [DT_I8] = before_i8,
};

/* One row: element k of it is at data[first + k * step]. Merges runs of 1, 2, 4, ... indices. */
typedef struct {
    const void *data;
    Before *before;
    int64_t first, step, length;
} SortRow;

static void merge_runs(const SortRow *row, const int32_t *from, int32_t *to, int64_t begin,
                       int64_t width)
{
    int64_t middle = begin + width < row->length ? begin + width : row->length;
    int64_t end = begin + 2 * width < row->length ? begin + 2 * width : row->length;
    for (int64_t k = begin, i = begin, j = middle; k < end; k++) {
        bool right =
            j < end && (i == middle || row->before(row->data, row->first + from[j] * row->step,
                                                   row->first + from[i] * row->step));
        to[k] = right ? from[j++] : from[i++];
    }
}

static void sort_row(const SortRow *row, int32_t *order, int32_t *other)
{
    for (int64_t k = 0; k < row->length; k++)
        order[k] = (int32_t)k;
    for (int64_t width = 1; width < row->length; width *= 2) {
        for (int64_t begin = 0; begin < row->length; begin += 2 * width)
            merge_runs(row, order, other, begin, width);
        memcpy(order, other, sizeof *order * (size_t)row->length);
    }
}

static void reduce_argsort(RefEval *e)
{
    const RefTensor *x = ref_in(e, 0);
    int64_t strides[MAX_RANK], length = x->dims[e->node->attr.axis];
    int32_t *out = e->out->data;
    ref_strides(x, strides);
    int64_t inner = strides[e->node->attr.axis];
    int32_t *order = x->count ? ref_scratch(e, 2 * length, DT_I32) : NULL;
    for (int64_t i = 0; order && i < x->count / length; i++) {
        SortRow row = {x->data, before_functions[x->dtype], i / inner * inner * length + i % inner,
                       inner, length};
        sort_row(&row, order, order + length);
        for (int64_t k = 0; k < length; k++)
            out[row.first + k * inner] = order[k];
    }
    free(order);
}

void ref_reduce(RefEval *e)
{
    if (e->node->op == OP_ARGSORT) {
        reduce_argsort(e);
        return;
    }
    if (e->node->op == OP_CUMSUM)
        reduce_cumsum(e);
    else if (e->node->attr.kind == AT_AXIS)
        reduce_arg(e);
    else
        reduce_axes(e);
}
