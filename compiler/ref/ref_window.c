/* Windows in the interpreter. Taps are taken in row-major order; a tap is applied to the whole
 * block of outputs that it reaches, so every output sees its taps in ascending order, and padding
 * is never touched.
 *
 *   size 2, stride 2, pad 1:0 over 4 elements: tap 0 reaches outputs 1.. , tap 1 all */
#include "compiler/graph/order.h"
#include "compiler/ref/eval.h"

#include <stdlib.h>
#include <string.h>

/* Outputs that one tap reaches, and where: a block of both tensors. False: none. */
static bool reach(const RefEval *e, const int64_t *tap, const int64_t *low, RefBlock *block,
                  int64_t *to, int64_t *from)
{
    const RefTensor *x = ref_in(e, 0), *out = e->out;
    const Attr *attr = &e->node->attr;
    *to = *from = 0;
    block->rank = x->rank;
    ref_strides(x, block->src_strides);
    ref_strides(out, block->dst_strides);
    for (int i = 0; i < x->rank; i++) {
        int64_t stride = attr->window.stride[i], shift = tap[i] * attr->window.dilate[i] - low[i];
        int64_t first = shift < 0 ? (-shift + stride - 1) / stride : 0;
        int64_t room = x->dims[i] - 1 - shift;
        int64_t end = room < 0 ? 0 : room / stride + 1;
        end = end < out->dims[i] ? end : out->dims[i];
        if (end <= first)
            return false;
        block->dims[i] = end - first;
        *to += first * block->dst_strides[i];
        *from += (first * stride + shift) * block->src_strides[i];
        block->src_strides[i] *= stride;
    }
    return true;
}

/* Rows of a block, with its inner axes joined as far as they are dense in both memories. */
typedef void WindowRow(RefEval *e, int64_t to, int64_t from, int64_t count, int64_t src_stride,
                       int64_t tap, void *best);

static void each_row(RefEval *e, const RefBlock *block, int64_t to, int64_t from, int64_t tap,
                     void *best, WindowRow *row)
{
    int64_t index[MAX_RANK] = {0};
    int inner = block->rank - 1;
    for (;;) {
        row(e, to, from, block->dims[inner], block->src_strides[inner], tap, best);
        int axis = inner - 1;
        while (axis >= 0 && ++index[axis] == block->dims[axis]) {
            to -= (block->dims[axis] - 1) * block->dst_strides[axis];
            from -= (block->dims[axis] - 1) * block->src_strides[axis];
            index[axis--] = 0;
        }
        if (axis < 0)
            return;
        to += block->dst_strides[axis];
        from += block->src_strides[axis];
    }
}

enum { ROW_PIECE = 64 };

static void combine_row(RefEval *e, int64_t to, int64_t from, int64_t count, int64_t src_stride,
                        int64_t tap, void *best)
{
    const RefTensor *x = ref_in(e, 0);
    int64_t bytes = (int64_t)dtype_bytes(x->dtype);
    ScalarOp combiner = graph_combiner(e->node->op);
    char *out = (char *)e->out->data + to * bytes;
    const char *in = (const char *)x->data + from * bytes;
    (void)tap, (void)best;
    if (src_stride == 1) {
        ref_combine(combiner, x->dtype, out, in, count);
        return;
    }
    for (int64_t i = 0; i < count; i += ROW_PIECE) {
        double piece[ROW_PIECE];
        RefBlock block = {1, {count - i < ROW_PIECE ? count - i : ROW_PIECE}, {1}, {src_stride}};
        ref_copy_block(&block, piece, in + i * src_stride * bytes, (size_t)bytes);
        ref_combine(combiner, x->dtype, out + i * bytes, piece, block.dims[0]);
    }
}

/* Keeps the first largest value in best and its tap in the result; -1 there: no tap yet. */
#define DEFINE_ARG_ROW(Name, Type)                                                                 \
    static void Name(RefEval *e, int64_t to, int64_t from, int64_t count, int64_t src_stride,      \
                     int64_t tap, void *b)                                                         \
    {                                                                                              \
        const Type *x = (const Type *)ref_in(e, 0)->data + from;                                   \
        Type *best = (Type *)b + to;                                                               \
        int32_t *out = (int32_t *)e->out->data + to;                                               \
        for (int64_t i = 0; i < count; i++) {                                                      \
            Type value = x[i * src_stride];                                                        \
            if (out[i] < 0 || value > best[i] || (value != value && best[i] == best[i])) {         \
                best[i] = value;                                                                   \
                out[i] = (int32_t)tap;                                                             \
            }                                                                                      \
        }                                                                                          \
    }

DEFINE_ARG_ROW(arg_row_u8, uint8_t)
DEFINE_ARG_ROW(arg_row_i8, int8_t)
DEFINE_ARG_ROW(arg_row_i32, int32_t)
DEFINE_ARG_ROW(arg_row_i64, int64_t)
DEFINE_ARG_ROW(arg_row_f32, float)
DEFINE_ARG_ROW(arg_row_f64, double)

static WindowRow *const arg_rows[DT_COUNT] = {
    [DT_U8] = arg_row_u8,   [DT_I32] = arg_row_i32, [DT_I64] = arg_row_i64,
    [DT_F32] = arg_row_f32, [DT_F64] = arg_row_f64, [DT_I8] = arg_row_i8,
};

static void each_tap(RefEval *e, void *best, WindowRow *row)
{
    const Attr *attr = &e->node->attr;
    int rank = ref_in(e, 0)->rank;
    int64_t tap[MAX_RANK] = {0}, low[MAX_RANK], count = 1;
    for (int i = 0; i < rank; i++) {
        low[i] = ref_dim(e, attr->window.pad_low[i]);
        count *= attr->window.size[i];
    }
    for (int64_t number = 0; number < count; number++) {
        RefBlock block;
        int64_t to, from;
        if (reach(e, tap, low, &block, &to, &from))
            each_row(e, &block, to, from, number, best, row);
        for (int i = rank; i-- > 0 && ++tap[i] == attr->window.size[i];)
            tap[i] = 0;
    }
}

static void window_argmax(RefEval *e)
{
    DType dtype = ref_in(e, 0)->dtype;
    int32_t *out = e->out->data;
    void *best = ref_scratch(e, e->out->count, dtype);
    if (best == NULL)
        return;
    for (int64_t i = 0; i < e->out->count; i++)
        out[i] = -1;
    each_tap(e, best, arg_rows[dtype]);
    for (int64_t i = 0; i < e->out->count; i++)
        out[i] = out[i] < 0 ? 0 : out[i];
    free(best);
}

void ref_window(RefEval *e)
{
    char identity[8];
    if (e->out->count == 0)
        return;
    if (e->node->op == OP_WINDOW_ARGMAX) {
        window_argmax(e);
        return;
    }
    ref_identity(e->node->op, e->out->dtype, identity);
    ref_fill(e->out->data, e->out->count, identity, dtype_bytes(e->out->dtype));
    each_tap(e, NULL, combine_row);
}
