/* Moves in the interpreter. All are copies of a block whose elements lie at strides in both
 * memories:
 *
 *   permute    source strides permuted
 *   expand     source stride 0
 *   slice      source begins at start, strides times step
 *   reverse    source begins at the end, stride negative
 *   pad        target begins at low, strides times interior+1; cropped elements leave the block
 *   concat     one block per operand */
#include "compiler/ref/eval.h"

#include <string.h>

/* Axes of size 1 go, and axes that follow each other in both memories become one: inner loops are
 * long. */
static bool squeeze(const RefBlock *block, RefBlock *out)
{
    out->rank = 0;
    for (int i = 0; i < block->rank; i++) {
        if (block->dims[i] == 0)
            return false;
        if (block->dims[i] == 1)
            continue;
        int last = out->rank - 1;
        if (last >= 0 && out->dst_strides[last] == block->dst_strides[i] * block->dims[i] &&
            out->src_strides[last] == block->src_strides[i] * block->dims[i]) {
            out->dims[last] *= block->dims[i];
        } else {
            last = out->rank++;
            out->dims[last] = block->dims[i];
        }
        out->dst_strides[last] = block->dst_strides[i];
        out->src_strides[last] = block->src_strides[i];
    }
    if (out->rank == 0) {
        out->rank = 1;
        out->dims[0] = 1;
        out->dst_strides[0] = out->src_strides[0] = 1;
    }
    return true;
}

#define COPY_ROW(Unit)                                                                             \
    do {                                                                                           \
        Unit *to = (Unit *)dst;                                                                    \
        const Unit *from = (const Unit *)src;                                                      \
        if (src_stride == 0) {                                                                     \
            Unit value = *from;                                                                    \
            for (int64_t i = 0; i < count; i++)                                                    \
                to[i * dst_stride] = value;                                                        \
        } else {                                                                                   \
            for (int64_t i = 0; i < count; i++)                                                    \
                to[i * dst_stride] = from[i * src_stride];                                         \
        }                                                                                          \
    } while (0)

static void copy_row(char *dst, int64_t dst_stride, const char *src, int64_t src_stride,
                     int64_t count, size_t bytes)
{
    if (dst_stride == 1 && src_stride == 1)
        memcpy(dst, src, (size_t)count * bytes);
    else if (bytes == 4)
        COPY_ROW(uint32_t);
    else if (bytes == 8)
        COPY_ROW(uint64_t);
    else if (bytes == 2)
        COPY_ROW(uint16_t);
    else
        COPY_ROW(uint8_t);
}

void ref_copy_block(const RefBlock *block, void *dst, const void *src, size_t element_bytes)
{
    RefBlock b;
    int64_t index[MAX_RANK] = {0};
    char *to = dst;
    const char *from = src;
    int64_t unit = (int64_t)element_bytes;
    if (!squeeze(block, &b))
        return;
    int inner = b.rank - 1;
    for (;;) {
        copy_row(to, b.dst_strides[inner], from, b.src_strides[inner], b.dims[inner],
                 element_bytes);
        int axis = inner - 1;
        while (axis >= 0 && ++index[axis] == b.dims[axis]) {
            to -= (b.dims[axis] - 1) * b.dst_strides[axis] * unit;
            from -= (b.dims[axis] - 1) * b.src_strides[axis] * unit;
            index[axis--] = 0;
        }
        if (axis < 0)
            return;
        to += b.dst_strides[axis] * unit;
        from += b.src_strides[axis] * unit;
    }
}

/* The block that reads every element of the result from operand 0 with the strides to be set. */
static RefBlock result_block(const RefEval *e)
{
    RefBlock block = {.rank = e->out->rank};
    memcpy(block.dims, e->out->dims, sizeof block.dims);
    ref_strides(e->out, block.dst_strides);
    return block;
}

static void copy_out(RefEval *e, const RefBlock *block, int64_t offset)
{
    size_t bytes = dtype_bytes(e->out->dtype);
    if (e->out->count > 0)
        ref_copy_block(block, e->out->data,
                       (const char *)ref_in(e, 0)->data + offset * (int64_t)bytes, bytes);
}

static void move_permute(RefEval *e)
{
    RefBlock block = result_block(e);
    int64_t strides[MAX_RANK];
    ref_strides(ref_in(e, 0), strides);
    for (int i = 0; i < block.rank; i++)
        block.src_strides[i] = strides[e->node->attr.perm.axis[i]];
    copy_out(e, &block, 0);
}

static void move_expand(RefEval *e)
{
    RefBlock block = result_block(e);
    const RefTensor *x = ref_in(e, 0);
    ref_strides(x, block.src_strides);
    for (int i = 0; i < block.rank; i++)
        if (x->dims[i] == 1)
            block.src_strides[i] = 0;
    copy_out(e, &block, 0);
}

static void move_slice(RefEval *e)
{
    RefBlock block = result_block(e);
    const RefTensor *x = ref_in(e, 0);
    int64_t offset = 0, strides[MAX_RANK];
    ref_strides(x, strides);
    for (int i = 0; i < block.rank; i++) {
        int64_t start = ref_dim(e, e->node->attr.slice.start[i]),
                limit = ref_dim(e, e->node->attr.slice.limit[i]);
        if (start < 0 || limit < start || limit > x->dims[i]) {
            ref_fail(e, 0);
            memset(e->out->data, 0, (size_t)e->out->count * dtype_bytes(e->out->dtype));
            return;
        }
        offset += start * strides[i];
        block.src_strides[i] = strides[i] * e->node->attr.slice.step[i];
    }
    copy_out(e, &block, offset);
}

static void move_reverse(RefEval *e)
{
    RefBlock block = result_block(e);
    const Axes *axes = &e->node->attr.axes;
    int64_t offset = 0;
    ref_strides(ref_in(e, 0), block.src_strides);
    for (int i = 0; i < axes->count; i++) {
        int axis = axes->axis[i];
        offset += block.src_strides[axis] * (block.dims[axis] - 1);
        block.src_strides[axis] = -block.src_strides[axis];
    }
    copy_out(e, &block, offset);
}

static int64_t ceiling(int64_t a, int64_t b)
{
    return a > 0 ? (a + b - 1) / b : -(-a / b);
}

static void move_pad(RefEval *e)
{
    const RefTensor *x = ref_in(e, 0), *out = e->out;
    RefBlock block = {.rank = out->rank};
    size_t bytes = dtype_bytes(out->dtype);
    int64_t to = 0, from = 0, dst[MAX_RANK], src[MAX_RANK];
    ref_fill(out->data, out->count, ref_in(e, 1)->data, bytes);
    ref_strides(out, dst);
    ref_strides(x, src);
    for (int i = 0; i < out->rank; i++) {
        int64_t low = ref_dim(e, e->node->attr.pad.low[i]), gap = e->node->attr.pad.interior[i] + 1;
        int64_t first =
            low < 0 ? ceiling(-low, gap) : 0; /* elements of x with 0 <= low + i*gap < size */
        int64_t end = ceiling(out->dims[i] - low, gap);
        end = end < x->dims[i] ? end : x->dims[i];
        if (end <= first)
            return;
        block.dims[i] = end - first;
        block.dst_strides[i] = dst[i] * gap;
        block.src_strides[i] = src[i];
        to += (low + first * gap) * dst[i];
        from += first * src[i];
    }
    ref_copy_block(&block, (char *)out->data + to * (int64_t)bytes,
                   (const char *)x->data + from * (int64_t)bytes, bytes);
}

static void move_concat(RefEval *e)
{
    size_t bytes = dtype_bytes(e->out->dtype);
    int axis = e->node->attr.axis;
    char *to = e->out->data;
    for (int i = 0; i < e->node->nsrc; i++) {
        const RefTensor *x = ref_in(e, i);
        RefBlock block = {.rank = x->rank};
        memcpy(block.dims, x->dims, sizeof block.dims);
        ref_strides(x, block.src_strides);
        ref_strides(e->out, block.dst_strides);
        ref_copy_block(&block, to, x->data, bytes);
        to += x->dims[axis] * block.dst_strides[axis] * (int64_t)bytes;
    }
}

void ref_move(RefEval *e)
{
    switch (e->node->op) {
    case OP_PERMUTE:
        move_permute(e);
        break;
    case OP_EXPAND:
        move_expand(e);
        break;
    case OP_SLICE:
        move_slice(e);
        break;
    case OP_PAD:
        move_pad(e);
        break;
    case OP_CONCAT:
        move_concat(e);
        break;
    case OP_REVERSE:
        move_reverse(e);
        break;
    default: /* reshape: the result shares the memory */
        break;
    }
}
