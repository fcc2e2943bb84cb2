/* See kernel_random.h. Values made so far are kept in a list with a mark of how many are visible; a
 * block forgets its own. */
#include "tests/support/kernel_random.h"

#include "runtime/base/rng.h"

#include <math.h>
#include <string.h>

enum { POOL = 512, BUFFER_ELEMENTS = 64, WIDEST = 32 };

typedef struct {
    KBuilder b;
    uint64_t seed, drawn;
    KInst *pool[POOL];
    int count, left, depth;
    uint32_t buffers[DT_COUNT];
} Random;

static int draw(Random *r, int below)
{
    return (int)(rng_hash(&(uint64_t[2]){r->seed, r->drawn++}, 16, 5) % (uint64_t)below);
}

static KInst *keep(Random *r, KInst *value)
{
    if (r->count < POOL) {
        r->pool[r->count++] = value;
    }
    return value;
}

static KInst *constant(Random *r, DType dtype)
{
    static const double floats[] = {0, -0.0, 1, -1.5, 3.25e10, INFINITY, -INFINITY, NAN, 1e-40, 7};
    static const int64_t ints[] = {0, 1, -1, 2, 7, 255, INT32_MAX, INT32_MIN, INT64_MAX, 64};
    if (dtype_is_float(dtype)) {
        return kir_float(&r->b, dtype, floats[draw(r, 10)]);
    }
    return kir_int(&r->b, dtype, ints[draw(r, 10)]);
}

/* A value of the type: one that is there, often, or a constant in as many lanes. */
static KInst *value_of(Random *r, DType dtype, int lanes)
{
    for (int tries = 0; tries < 8 && r->count; tries++) {
        KInst *value = r->pool[draw(r, r->count)];
        if (value->type.dtype == dtype && value->type.lanes == lanes) {
            return value;
        }
    }
    return kir_splat(&r->b, constant(r, dtype), lanes);
}

static int lanes_of(Random *r)
{
    static const int lanes[] = {1, 1, 2, 4, 8, 16, WIDEST};
    return lanes[draw(r, 7)];
}

/* An index that is in range with `lanes` elements after it: (value & 31) of 64 elements. */
static KInst *index_of(Random *r, int lanes)
{
    KInst *mask = kir_splat(&r->b, kir_index(&r->b, BUFFER_ELEMENTS - WIDEST - 1), lanes);
    return kir_binary(&r->b, K_AND, value_of(r, DT_I64, lanes), mask);
}

/* f16 and bf16 have no arithmetic. */
static DType arithmetic_type(Random *r)
{
    return dtype_computed((DType)draw(r, DT_COUNT));
}

static void add_arithmetic(Random *r)
{
    static const KOp of_floats[] = {K_ADD, K_SUB, K_MUL, K_DIV, K_LT, K_EQ, K_NE, K_LE};
    static const KOp of_ints[] = {K_ADD,  K_SUB, K_MUL, K_AND, K_OR, K_XOR,  K_IMIN,
                                  K_IMAX, K_LT,  K_ULT, K_EQ,  K_LE, K_IDIV, K_IMOD};
    static const KOp of_bools[] = {K_AND, K_OR, K_XOR, K_EQ, K_NE, K_IMIN};
    DType dtype = arithmetic_type(r);
    int lanes = lanes_of(r);
    KOp op = dtype_is_float(dtype) ? of_floats[draw(r, 8)]
             : dtype == DT_BOOL    ? of_bools[draw(r, 6)]
                                   : of_ints[draw(r, 14)];
    keep(r, kir_binary(&r->b, op, value_of(r, dtype, lanes), value_of(r, dtype, lanes)));
}

static void add_unary(Random *r)
{
    static const KOp ops[] = {K_NEG, K_ABS, K_FLOOR, K_CEIL, K_RINT, K_SQRT};
    DType dtype = arithmetic_type(r);
    dtype = dtype == DT_BOOL ? DT_I8 : dtype;
    keep(r, kir_unary(&r->b, ops[draw(r, dtype_is_float(dtype) ? 6 : 2)],
                      value_of(r, dtype, lanes_of(r))));
}

static void add_three(Random *r)
{
    int lanes = lanes_of(r);
    DType dtype = (DType)draw(r, DT_COUNT);
    if (dtype_is_float(dtype) && !dtype_is_small_float(dtype) && draw(r, 2)) {
        keep(r, kir_fma(&r->b, value_of(r, dtype, lanes), value_of(r, dtype, lanes),
                        value_of(r, dtype, lanes)));
        return;
    }
    KInst *condition = value_of(r, DT_BOOL, draw(r, 2) ? lanes : 1);
    keep(r, kir_select(&r->b, condition, value_of(r, dtype, lanes), value_of(r, dtype, lanes)));
}

static void add_conversion(Random *r)
{
    keep(r, kir_convert(&r->b, value_of(r, (DType)draw(r, DT_COUNT), lanes_of(r)),
                        (DType)draw(r, DT_COUNT)));
    keep(r, kir_bitcast(&r->b, value_of(r, DT_I32, lanes_of(r)), DT_F32));
    keep(r, kir_bitcast(&r->b, value_of(r, DT_I64, lanes_of(r)), DT_U8));
}

static void add_lanes(Random *r)
{
    DType dtype = arithmetic_type(r);
    dtype = dtype == DT_BOOL ? DT_U8 : dtype;
    int lanes = 4 << draw(r, 3);
    KInst *x = value_of(r, dtype, lanes), *y = value_of(r, dtype, lanes);
    int32_t mask[8];
    for (int i = 0; i < 8; i++) {
        mask[i] = draw(r, 2 * lanes);
    }
    keep(r, kir_shuffle(&r->b, x, y, mask, 8));
    keep(r, kir_extract(&r->b, x, draw(r, lanes)));
    KInst *small = value_of(r, draw(r, 2) ? DT_F16 : DT_BF16, lanes);
    keep(r, kir_shuffle(&r->b, small, small, mask, 8));
    keep(r, kir_halves(&r->b, (KOp)(K_HALVES_ADD + draw(r, 4)), y));
    keep(r, kir_splat(&r->b, value_of(r, dtype, 1), lanes));
    keep(r, kir_iota(&r->b, DT_I64, lanes));
}

static void add_load(Random *r)
{
    DType dtype = (DType)draw(r, DT_COUNT);
    int lanes = lanes_of(r);
    KInst *mask = draw(r, 2) ? value_of(r, DT_BOOL, lanes) : NULL;
    keep(r, kir_load(&r->b, r->buffers[dtype], index_of(r, draw(r, 3) ? 1 : lanes), lanes, mask));
}

static void add_store(Random *r)
{
    DType dtype = (DType)draw(r, DT_COUNT);
    int lanes = lanes_of(r);
    KInst *mask = draw(r, 2) ? value_of(r, DT_BOOL, lanes) : NULL;
    kir_store(&r->b, r->buffers[dtype], index_of(r, 1), value_of(r, dtype, lanes), mask);
    kir_prefetch(&r->b, r->buffers[dtype], index_of(r, 1), draw(r, 2));
}

static void add_call_value(Random *r)
{
    keep(r, kir_seed(&r->b));
    keep(r, kir_step(&r->b));
    keep(r, kir_dim(&r->b, (uint32_t)draw(r, 3)));
    kir_fail(&r->b, draw(r, 4), value_of(r, DT_BOOL, 4), value_of(r, DT_I64, 4));
}

static void add_some(Random *r, int count);

static void add_loop(Random *r)
{
    if (r->depth > 3) {
        return;
    }
    KInst *inits[2] = {value_of(r, DT_F32, 16), value_of(r, DT_I64, 1)};
    int visible = r->count;
    int64_t trips = draw(r, 4);
    KInst *loop = kir_for(&r->b, kir_index(&r->b, 0), kir_index(&r->b, 3 * trips), 3, inits, 2);
    r->depth++;
    for (int i = 0; i < 3; i++) {
        keep(r, kir_loop_arg(loop, i));
    }
    add_some(r, 6);
    kir_end_for(&r->b, loop, (KInst *[]){value_of(r, DT_F32, 16), value_of(r, DT_I64, 1)});
    r->depth--;
    r->count = visible;
    keep(r, kir_result(&r->b, loop, 0));
    keep(r, kir_result(&r->b, loop, 1));
}

static void add_branch(Random *r)
{
    if (r->depth > 3) {
        return;
    }
    KInst *branch = kir_if(&r->b, value_of(r, DT_BOOL, 1));
    int visible = r->count;
    r->depth++;
    add_some(r, 4);
    KInst *first = value_of(r, DT_F64, 8);
    kir_else(&r->b, branch, &first, 1);
    r->count = visible;
    add_some(r, 4);
    KInst *second = value_of(r, DT_F64, 8);
    kir_end_if(&r->b, branch, &second, 1);
    r->depth--;
    r->count = visible;
    keep(r, kir_result(&r->b, branch, 0));
}

static void add_some(Random *r, int count)
{
    static void (*const kinds[])(Random *) = {
        add_arithmetic, add_arithmetic, add_unary,      add_three, add_conversion, add_lanes,
        add_load,       add_store,      add_call_value, add_loop,  add_branch,
    };
    for (int i = 0; i < count && r->left > 0; i++, r->left--) {
        kinds[draw(r, 11)](r);
    }
}

Kernel *kernel_random(Arena *arena, uint64_t seed, int size)
{
    Random r = {.seed = seed, .left = size};
    Kernel *kernel = kernel_new(arena, "random");
    for (int i = 0; i < DT_COUNT; i++) {
        r.buffers[i] = kernel_buffer(kernel, arena_format(arena, "b%d", i), (DType)i, true, true);
    }
    r.b = kernel_builder(kernel);
    keep(&r, kernel->body->args.data[0]);
    keep(&r, kernel->body->args.data[1]);
    add_some(&r, size);
    for (int i = 0; i < r.count;
         i++) { /* what was computed is stored, so that none of it is dead */
        KInst *value = r.pool[i];
        kir_store(&r.b, r.buffers[value->type.dtype], kir_index(&r.b, draw(&r, 32)),
                  value->type.lanes <= WIDEST ? value : kir_extract(&r.b, value, 0), NULL);
    }
    return kernel;
}
