/* Generated code against C: every instruction on edge values, every conversion, memory with masks
 * and gathers, control flow, and random kernels on three levels of processor, which must agree. */
#include "compiler/kernel/kir_rules.h"
#include "runtime/base/scalar.h"
#include "tests/support/kernel_random.h"
#include "tests/support/kernel_run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- values of every type as one union ---- */

typedef union {
    int64_t i;
    double f;
} Value;

static Value load_value(DType dtype, const void *data, int at)
{
    Value value;
    bool real = dtype_is_float(dtype);
    scalar_convert(dtype, real ? DT_F64 : DT_I64,
                   (const char *)data + (size_t)at * dtype_bytes(dtype), &value, 1);
    return value;
}

static void store_value(DType dtype, void *data, int at, Value v)
{
    bool real = dtype_is_float(dtype);
    scalar_convert(real ? DT_F64 : DT_I64, dtype, &v,
                   (char *)data + (size_t)at * dtype_bytes(dtype), 1);
}

/* Equal bits, any NaN for a NaN. */
static bool same_value(DType dtype, Value x, Value y)
{
    if (!dtype_is_float(dtype)) {
        return x.i == y.i;
    }
    return (isnan(x.f) && isnan(y.f)) || memcmp(&x.f, &y.f, sizeof x.f) == 0;
}

enum { EDGES = 16 };

static Value edge(DType dtype, int which)
{
    static const int64_t ints[EDGES] = {
        0,   1,   -1,        2,         -2,        3,         7,           -7,
        100, 255, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 12345678901, -9};
    static const double floats[EDGES] = {0.0,    -0.0,  1,     -1,      0.5,      -2.5,
                                         1e-310, 3.7,   1e10,  -1e20,   INFINITY, -INFINITY,
                                         NAN,    255.9, 1e300, -0.49999};
    if (dtype_is_float(dtype)) {
        double value = which == 6 && dtype != DT_F64 ? 1e-40 : floats[which];
        return (Value){.f = dtype_round(dtype, value)};
    }
    return (Value){.i = kir_wrap(dtype, (uint64_t)ints[which])};
}

/* ---- what each instruction means, in C ---- */

static uint64_t no_sign(DType dtype, int64_t x)
{
    return dtype == DT_I32 ? (uint32_t)x : dtype == DT_I8 ? (uint8_t)x : (uint64_t)x;
}

static int64_t int_binary(KOp op, DType dtype, int64_t x, int64_t y)
{
    uint64_t ux = no_sign(dtype, x), uy = no_sign(dtype, y);
    __int128 wide_x = x, wide_y = y, floor = 0;
    if (y != 0) {
        floor = wide_x / wide_y - (wide_x % wide_y != 0 && (wide_x < 0) != (wide_y < 0));
    }
    uint64_t amount = uy & (dtype_bytes(dtype) * 8 - 1);
    switch (op) {
    case K_ADD:
        return kir_wrap(dtype, ux + uy);
    case K_SUB:
        return kir_wrap(dtype, ux - uy);
    case K_MUL:
        return kir_wrap(dtype, ux * uy);
    case K_IDIV:
        return kir_wrap(dtype, (uint64_t)floor);
    case K_IMOD:
        return kir_wrap(dtype, (uint64_t)(wide_x - wide_y * floor));
    case K_IMIN:
        return x < y ? x : y;
    case K_IMAX:
        return x < y ? y : x;
    case K_UMULHI:
        return kir_wrap(dtype, ux * uy >> 32);
    case K_AND:
        return x & y;
    case K_OR:
        return x | y;
    case K_XOR:
        return x ^ y;
    case K_SHL:
        return kir_wrap(dtype, ux << amount);
    case K_LSHR:
        return kir_wrap(dtype, ux >> amount);
    case K_ASHR:
        return x >> amount;
    case K_EQ:
        return x == y;
    case K_NE:
        return x != y;
    case K_LT:
        return x < y;
    case K_LE:
        return x <= y;
    case K_ULT:
        return ux < uy;
    default:
        cr_assert_fail("no meaning for %s", kop_info(op)->text);
    }
    return 0;
}

static Value float_binary(KOp op, DType dtype, double x, double y)
{
    float fx = (float)x, fy = (float)y;
    bool f = dtype == DT_F32;
    switch (op) {
    case K_ADD:
        return (Value){.f = f ? (double)(fx + fy) : x + y};
    case K_SUB:
        return (Value){.f = f ? (double)(fx - fy) : x - y};
    case K_MUL:
        return (Value){.f = f ? (double)(fx * fy) : x * y};
    case K_DIV:
        return (Value){.f = f ? (double)(fx / fy) : x / y};
    case K_EQ:
        return (Value){.i = x == y};
    case K_NE:
        return (Value){.i = x != y};
    case K_LT:
        return (Value){.i = x < y};
    case K_LE:
        return (Value){.i = x <= y};
    default:
        cr_assert_fail("no meaning for %s", kop_info(op)->text);
    }
    return (Value){0};
}

static Value unary(KOp op, DType dtype, Value v)
{
    if (!dtype_is_float(dtype)) {
        bool flip = op == K_NEG || (dtype != DT_U8 && v.i < 0);
        return (Value){.i = flip ? kir_wrap(dtype, 0 - (uint64_t)v.i) : v.i};
    }
    float x = (float)v.f;
    bool f = dtype == DT_F32;
    switch (op) {
    case K_NEG:
        return (Value){.f = -v.f};
    case K_ABS:
        return (Value){.f = fabs(v.f)};
    case K_FLOOR:
        return (Value){.f = floor(v.f)};
    case K_CEIL:
        return (Value){.f = ceil(v.f)};
    case K_RINT:
        return (Value){.f = rint(v.f)};
    default:
        return (Value){.f = f ? (double)sqrtf(x) : sqrt(v.f)};
    }
}

static Value converted(DType from, DType to, Value v)
{
    if (to == DT_BOOL) {
        return (Value){.i = dtype_is_float(from) ? v.f != 0 : v.i != 0};
    }
    if (dtype_is_float(to)) {
        if (to == DT_F64) {
            return (Value){.f = dtype_is_float(from) ? v.f : (double)v.i};
        }
        float narrow = dtype_is_float(from) ? (float)v.f : (float)v.i;
        return (Value){.f = dtype_round(to, (double)narrow)};
    }
    if (!dtype_is_float(from)) {
        return (Value){.i = kir_wrap(to, (uint64_t)v.i)};
    }
    int64_t least = dtype_least(to), most = dtype_largest(to);
    double low = (double)least, high = (double)most;
    return (Value){.i = isnan(v.f) ? 0 : v.f <= low ? least : v.f >= high ? most : (int64_t)v.f};
}

/* ---- a kernel that applies many instructions to all pairs of edges ---- */

enum { PAIRS = EDGES * EDGES, MOST_RESULTS = 32 };

typedef struct {
    Arena *arena;
    Kernel *kernel;
    KBuilder b;
    DType dtype;
    int lanes;
    uint32_t x, y, z, by_type[DT_COUNT];
    KInst *loop, *at, *vx, *vy, *vz;
    DType types[MOST_RESULTS];
    int results;
    void *in[3], *out[DT_COUNT];
} Sweep;

static void open_sweep(Sweep *s, DType dtype, int lanes)
{
    *s = (Sweep){.arena = arena_new(), .dtype = dtype, .lanes = lanes};
    s->kernel = kernel_new(s->arena, "sweep");
    s->x = kernel_buffer(s->kernel, "x", dtype, true, false);
    s->y = kernel_buffer(s->kernel, "y", dtype, true, false);
    s->z = kernel_buffer(s->kernel, "z", dtype, true, false);
    for (int i = 0; i < DT_COUNT; i++) {
        s->by_type[i] =
            kernel_buffer(s->kernel, arena_format(s->arena, "out%d", i), (DType)i, false, true);
        s->out[i] = calloc(MOST_RESULTS * PAIRS, 8);
    }
    for (int i = 0; i < 3; i++) {
        s->in[i] = calloc(PAIRS, 8);
    }
    for (int i = 0; i < PAIRS; i++) {
        store_value(dtype, s->in[0], i, edge(dtype, i / EDGES));
        store_value(dtype, s->in[1], i, edge(dtype, i % EDGES));
        store_value(dtype, s->in[2], i, edge(dtype, (i * 7 + i / EDGES) % EDGES));
    }
    s->b = kernel_builder(s->kernel);
    s->loop = kir_for(&s->b, s->kernel->body->args.data[0], s->kernel->body->args.data[1], lanes,
                      NULL, 0);
    s->at = kir_loop_arg(s->loop, 0);
    s->vx = kir_load(&s->b, s->x, s->at, lanes, NULL);
    s->vy = kir_load(&s->b, s->y, s->at, lanes, NULL);
    s->vz = kir_load(&s->b, s->z, s->at, lanes, NULL);
}

static void add_result(Sweep *s, KInst *value)
{
    KInst *index = kir_binary(&s->b, K_ADD, s->at, kir_index(&s->b, (int64_t)s->results * PAIRS));
    kir_store(&s->b, s->by_type[value->type.dtype], index, value, NULL);
    s->types[s->results++] = value->type.dtype;
}

static void run_sweep(Sweep *s)
{
    kir_end_for(&s->b, s->loop, NULL);
    KernelRun run = {0};
    kernel_run_open(&run, s->arena, s->kernel, PAIRS);
    void *buffers[3 + DT_COUNT] = {s->in[0], s->in[1], s->in[2]};
    memcpy(buffers + 3, s->out, sizeof s->out);
    kernel_run_call(&run, buffers);
    kernel_run_close(&run);
}

static void check_result(Sweep *s, int which, int at, Value wanted, const char *what)
{
    DType type = s->types[which];
    Value got = load_value(type, s->out[type], which * PAIRS + at);
    Value x = load_value(s->dtype, s->in[0], at), y = load_value(s->dtype, s->in[1], at);
    cr_assert(same_value(type, got, wanted),
              "%s of %s x %d, pair %d: x %lx y %lx got %lx (%g) wanted %lx (%g)", what,
              dtype_name(s->dtype), s->lanes, at, (long)x.i, (long)y.i, (long)got.i, got.f,
              (long)wanted.i, wanted.f);
}

static void close_sweep(Sweep *s)
{
    for (int i = 0; i < DT_COUNT; i++) {
        free(s->out[i]);
    }
    for (int i = 0; i < 3; i++) {
        free(s->in[i]);
    }
    arena_free(s->arena);
}

static const int some_lanes[] = {1, 4, 16, 32};

/* ---- tests of arithmetic ---- */

static void sweep_int_binary(DType dtype, int lanes)
{
    static const KOp ops[] = {K_ADD, K_SUB, K_MUL, K_IDIV, K_IMOD,  K_IMIN, K_IMAX,
                              K_AND, K_OR,  K_XOR, K_SHL,  K_LSHR,  K_ASHR, K_EQ,
                              K_NE,  K_LT,  K_LE,  K_ULT,  K_UMULHI};
    int count = dtype == DT_I32 ? 19 : 18;
    Sweep s;
    open_sweep(&s, dtype, lanes);
    for (int i = 0; i < count; i++) {
        bool shifts = ops[i] >= K_SHL && ops[i] <= K_ASHR;
        KInst *bits = kir_int(&s.b, dtype, (int64_t)dtype_bytes(dtype) * 8 - 1);
        add_result(&s, kir_binary(&s.b, ops[i], s.vx,
                                  shifts ? kir_binary(&s.b, K_AND, s.vy, bits) : s.vy));
    }
    run_sweep(&s);
    for (int i = 0; i < count; i++) {
        for (int at = 0; at < PAIRS; at++) {
            int64_t x = load_value(dtype, s.in[0], at).i, y = load_value(dtype, s.in[1], at).i;
            bool divides = ops[i] == K_IDIV || ops[i] == K_IMOD;
            if (!divides || y != 0) {
                check_result(&s, i, at, (Value){.i = int_binary(ops[i], dtype, x, y)},
                             kop_info(ops[i])->text);
            }
        }
    }
    close_sweep(&s);
}

Test(codegen, integers_of_two_operands)
{
    for (int i = 0; i < 4; i++) {
        sweep_int_binary(DT_U8, some_lanes[i]);
        sweep_int_binary(DT_I8, some_lanes[i]);
        sweep_int_binary(DT_I32, some_lanes[i]);
        sweep_int_binary(DT_I64, some_lanes[i]);
    }
}

Test(codegen, integers_divided_by_constants)
{
    static const int64_t divisors[] = {2, 3, 7, 8, 10, 64, 100, -1, -3, 1};
    static const DType dtypes[] = {DT_U8, DT_I8, DT_I32, DT_I64};
    for (int d = 0; d < 4; d++) {
        DType dtype = dtypes[d];
        Sweep s;
        open_sweep(&s, dtype, 8);
        for (int i = 0; i < 10; i++) {
            add_result(&s, kir_binary(&s.b, K_IDIV, s.vx, kir_int(&s.b, dtype, divisors[i])));
            add_result(&s, kir_binary(&s.b, K_IMOD, s.vx, kir_int(&s.b, dtype, divisors[i])));
        }
        run_sweep(&s);
        for (int at = 0; at < PAIRS; at++) {
            for (int i = 0; i < 10; i++) {
                int64_t x = load_value(dtype, s.in[0], at).i,
                        y = kir_wrap(dtype, (uint64_t)divisors[i]);
                check_result(&s, 2 * i, at, (Value){.i = int_binary(K_IDIV, dtype, x, y)},
                             "idiv by a constant");
                check_result(&s, 2 * i + 1, at, (Value){.i = int_binary(K_IMOD, dtype, x, y)},
                             "imod by a constant");
            }
        }
        close_sweep(&s);
    }
}

static void sweep_floats(DType dtype, int lanes)
{
    static const KOp ops[] = {K_ADD, K_SUB, K_MUL, K_DIV, K_EQ, K_NE, K_LT, K_LE};
    static const KOp alone[] = {K_NEG, K_ABS, K_FLOOR, K_CEIL, K_RINT, K_SQRT};
    Sweep s;
    open_sweep(&s, dtype, lanes);
    for (int i = 0; i < 8; i++) {
        add_result(&s, kir_binary(&s.b, ops[i], s.vx, s.vy));
    }
    for (int i = 0; i < 6; i++) {
        add_result(&s, kir_unary(&s.b, alone[i], s.vx));
    }
    add_result(&s, kir_fma(&s.b, s.vx, s.vy, s.vz));
    run_sweep(&s);
    for (int at = 0; at < PAIRS; at++) {
        Value x = load_value(dtype, s.in[0], at), y = load_value(dtype, s.in[1], at),
              z = load_value(dtype, s.in[2], at);
        for (int i = 0; i < 8; i++) {
            check_result(&s, i, at, float_binary(ops[i], dtype, x.f, y.f), kop_info(ops[i])->text);
        }
        for (int i = 0; i < 6; i++) {
            check_result(&s, 8 + i, at, unary(alone[i], dtype, x), kop_info(alone[i])->text);
        }
        double fused =
            dtype == DT_F32 ? (double)fmaf((float)x.f, (float)y.f, (float)z.f) : fma(x.f, y.f, z.f);
        check_result(&s, 14, at, (Value){.f = fused}, "fma");
    }
    close_sweep(&s);
}

Test(codegen, floats)
{
    for (int i = 0; i < 4; i++) {
        sweep_floats(DT_F32, some_lanes[i]);
        sweep_floats(DT_F64, some_lanes[i]);
    }
}

static void sweep_other(DType dtype, int lanes)
{
    Sweep s;
    open_sweep(&s, dtype, lanes);
    for (int i = 0; i < DT_COUNT; i++) {
        add_result(&s, kir_convert(&s.b, s.vx, (DType)i));
    }
    KInst *x_number = kir_convert(&s.b, s.vx, dtype_computed(dtype)),
          *y_number = kir_convert(&s.b, s.vy, dtype_computed(dtype));
    KInst *condition = kir_binary(&s.b, dtype == DT_BOOL ? K_EQ : K_LT, x_number, y_number);
    add_result(&s, kir_select(&s.b, condition, s.vx, s.vz));
    add_result(
        &s, kir_select(&s.b, kir_binary(&s.b, K_LT, s.at, kir_index(&s.b, PAIRS / 2)), s.vx, s.vz));
    if (!dtype_is_float(dtype) && dtype != DT_BOOL) {
        add_result(&s, kir_unary(&s.b, K_NEG, s.vx));
        add_result(&s, kir_unary(&s.b, K_ABS, s.vx));
    }
    run_sweep(&s);
    for (int at = 0; at < PAIRS; at++) {
        Value x = load_value(dtype, s.in[0], at), y = load_value(dtype, s.in[1], at),
              z = load_value(dtype, s.in[2], at);
        for (int i = 0; i < DT_COUNT; i++) {
            check_result(&s, i, at, i == (int)dtype ? x : converted(dtype, (DType)i, x),
                         dtype_name((DType)i));
        }
        bool picks = dtype == DT_BOOL ? x.i == y.i : dtype_is_float(dtype) ? x.f < y.f : x.i < y.i;
        check_result(&s, DT_COUNT, at, picks ? x : z, "select");
        check_result(&s, DT_COUNT + 1, at, at < PAIRS / 2 ? x : z, "select by a scalar");
        if (s.results > DT_COUNT + 2) {
            check_result(&s, DT_COUNT + 2, at, unary(K_NEG, dtype, x), "neg");
            check_result(&s, DT_COUNT + 3, at, unary(K_ABS, dtype, x), "abs");
        }
    }
    close_sweep(&s);
}

Test(codegen, conversions_and_choices)
{
    for (int i = 0; i < 3; i++) {
        for (int dtype = 0; dtype < DT_COUNT; dtype++) {
            sweep_other((DType)dtype, some_lanes[i]);
        }
    }
}

/* ---- lanes ---- */

static Value halves(KOp op, DType dtype, Value *v, int lanes)
{
    for (int half = lanes / 2; half; half /= 2) {
        for (int i = 0; i < half; i++) {
            Value x = v[i], y = v[i + half];
            bool is_f = dtype_is_float(dtype);
            if (op == K_HALVES_ADD || op == K_HALVES_MUL) {
                KOp plain = op == K_HALVES_ADD ? K_ADD : K_MUL;
                v[i] = is_f ? float_binary(plain, dtype, x.f, y.f)
                            : (Value){.i = int_binary(plain, dtype, x.i, y.i)};
            } else {
                bool more = is_f ? x.f > y.f : x.i > y.i, less = is_f ? x.f < y.f : x.i < y.i;
                bool wins = (op == K_HALVES_MAX ? more : less) || (is_f && isnan(x.f));
                v[i] = wins ? x : y;
            }
        }
    }
    return v[0];
}

static void check_halves(DType dtype, int lanes)
{
    Arena *arena = arena_new();
    Kernel *kernel = kernel_new(arena, "halves");
    uint32_t x = kernel_buffer(kernel, "x", dtype, true, false),
             out = kernel_buffer(kernel, "out", dtype, false, true);
    KBuilder b = kernel_builder(kernel);
    KInst *loop = kir_for(&b, kernel->body->args.data[0], kernel->body->args.data[1], 1, NULL, 0),
          *i = kir_loop_arg(loop, 0);
    KInst *v = kir_load(&b, x, kir_binary(&b, K_MUL, i, kir_index(&b, lanes)), lanes, NULL);
    for (int k = 0; k < 4; k++) {
        KInst *at =
            kir_binary(&b, K_ADD, kir_binary(&b, K_MUL, i, kir_index(&b, 4)), kir_index(&b, k));
        kir_store(&b, out, at, kir_halves(&b, (KOp)(K_HALVES_ADD + k), v), NULL);
    }
    kir_end_for(&b, loop, NULL);
    char data[8 * PAIRS], results[8 * 4 * PAIRS];
    for (int e = 0; e < PAIRS; e++) {
        store_value(dtype, data, e, edge(dtype, (e * 5 + e / 16 * 3) % EDGES));
    }
    KernelRun run = {0};
    kernel_run_open(&run, arena, kernel, PAIRS / lanes);
    kernel_run_call(&run, (void *[]){data, results});
    for (int row = 0; row < PAIRS / lanes; row++) {
        for (int k = 0; k < 4; k++) {
            Value v_row[64];
            for (int l = 0; l < lanes; l++) {
                v_row[l] = load_value(dtype, data, row * lanes + l);
            }
            Value wanted = halves((KOp)(K_HALVES_ADD + k), dtype, v_row, lanes),
                  got = load_value(dtype, results, row * 4 + k);
            cr_assert(same_value(dtype, got, wanted), "%s %d lanes %d row %d: %g %g",
                      dtype_name(dtype), k, lanes, row, got.f, wanted.f);
        }
    }
    kernel_run_close(&run);
    arena_free(arena);
}

Test(codegen, halves_in_their_order)
{
    for (int lanes = 2; lanes <= 64; lanes *= 2) {
        check_halves(DT_F32, lanes);
    }
    check_halves(DT_F64, 16);
    check_halves(DT_I32, 16);
    check_halves(DT_I64, 8);
    check_halves(DT_U8, 32);
    check_halves(DT_I8, 32);
}

Test(codegen, lanes_are_picked_and_reinterpreted)
{
    Arena *arena = arena_new();
    Kernel *kernel = kernel_new(arena, "lanes");
    uint32_t x = kernel_buffer(kernel, "x", DT_I32, true, false),
             y = kernel_buffer(kernel, "y", DT_I32, false, true);
    uint32_t bytes = kernel_buffer(kernel, "bytes", DT_U8, false, true),
             wide = kernel_buffer(kernel, "wide", DT_I64, false, true);
    KBuilder b = kernel_builder(kernel);
    KInst *v = kir_load(&b, x, kir_index(&b, 0), 8, NULL),
          *w = kir_load(&b, x, kir_index(&b, 8), 8, NULL);
    kir_store(&b, y, kir_index(&b, 0),
              kir_shuffle(&b, v, w, (int32_t[]){15, 0, 8, 7, 1, 1, 9, -1}, 8), NULL);
    kir_store(&b, y, kir_index(&b, 8), kir_shuffle(&b, v, w, (int32_t[]){3, 12}, 2), NULL);
    kir_store(&b, y, kir_index(&b, 10), kir_extract(&b, w, 5), NULL);
    kir_store(&b, y, kir_index(&b, 11), kir_iota(&b, DT_I32, 4), NULL);
    kir_store(&b, y, kir_index(&b, 15), kir_splat(&b, kir_extract(&b, v, 2), 4), NULL);
    kir_store(&b, bytes, kir_index(&b, 0), kir_bitcast(&b, w, DT_U8), NULL);
    KInst *scalar =
        kir_shuffle(&b, kir_extract(&b, v, 1), kir_extract(&b, v, 2), (int32_t[]){1, 0}, 2);
    kir_store(&b, wide, kir_index(&b, 0), kir_bitcast(&b, scalar, DT_I64), NULL);
    KernelRun run = {0};
    kernel_run_open(&run, arena, kernel, 1);
    int32_t in[16], out[24] = {0};
    uint8_t raw[32];
    int64_t joined = 0;
    for (int i = 0; i < 16; i++) {
        in[i] = 1000 + i;
    }
    kernel_run_call(&run, (void *[]){in, out, raw, &joined});
    static const int32_t wanted[19] = {1015, 1000, 1008, 1007, 1001, 1001, 1009, 0,    1003, 1012,
                                       1013, 0,    1,    2,    3,    1002, 1002, 1002, 1002};
    for (int i = 0; i < 19; i++) {
        cr_assert(i == 7 || out[i] == wanted[i], "%d: %d", i, out[i]);
    }
    cr_assert(memcmp(raw, in + 8, 32) == 0);
    cr_assert_eq(joined, (int64_t)1001 << 32 | 1002);
    kernel_run_close(&run);
    arena_free(arena);
}

/* ---- memory ---- */

/* `bytes` that end where the next page may not be touched. */
static char *before_a_wall(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(pages != MAP_FAILED && mprotect(pages + page, page, PROT_NONE) == 0);
    return pages + page - bytes;
}

static void check_tail(DType dtype, int lanes, int count, bool gathers)
{
    Arena *arena = arena_new();
    Kernel *kernel = kernel_new(arena, "tail");
    uint32_t x = kernel_buffer(kernel, "x", dtype, true, false),
             y = kernel_buffer(kernel, "y", dtype, false, true);
    KBuilder b = kernel_builder(kernel);
    KInst *end = kernel->body->args.data[1];
    KInst *loop = kir_for(&b, kernel->body->args.data[0], end, lanes, NULL, 0),
          *i = kir_loop_arg(loop, 0);
    KInst *lane = lanes > 1 ? kir_binary(&b, K_ADD, i, kir_iota(&b, DT_I64, lanes)) : i;
    KInst *inside = kir_binary(&b, K_LT, lane, end);
    KInst *backwards = kir_binary(&b, K_SUB, kir_binary(&b, K_SUB, end, kir_index(&b, 1)), lane);
    KInst *v = kir_load(&b, x, gathers ? backwards : i, lanes, inside);
    kir_store(&b, y, gathers ? lane : i, v, inside);
    kir_end_for(&b, loop, NULL);
    size_t bytes = dtype_bytes(dtype) * (size_t)count;
    char *in = before_a_wall(bytes), *out = before_a_wall(bytes);
    for (int e = 0; e < count; e++) {
        store_value(dtype, in, e,
                    dtype_is_float(dtype) ? (Value){.f = e + 1}
                                          : (Value){.i = dtype == DT_BOOL ? e & 1 : e + 1});
    }
    KernelRun run = {0};
    kernel_run_open(&run, arena, kernel, count);
    kernel_run_call(&run, (void *[]){in, out});
    for (int e = 0; e < count; e++) {
        Value got = load_value(dtype, out, e),
              wanted = load_value(dtype, in, gathers ? count - 1 - e : e);
        cr_assert(same_value(dtype, got, wanted), "%s %d of %d", dtype_name(dtype), e, count);
    }
    kernel_run_close(&run);
    arena_free(arena);
}

Test(codegen, masked_lanes_are_not_touched)
{
    for (int dtype = 0; dtype < DT_COUNT; dtype++) {
        check_tail((DType)dtype, 16, 37, false);
        check_tail((DType)dtype, 8, 21, true);
    }
    check_tail(DT_F32, 32, 33, false);
    check_tail(DT_F32, 1, 5, false);
    check_tail(DT_F32, 32, 33, true);
}

Test(codegen, masked_loads_give_zero_and_bools_are_zero_or_one)
{
    Arena *arena = arena_new();
    Kernel *kernel = kernel_new(arena, "masked");
    uint32_t x = kernel_buffer(kernel, "x", DT_F32, true, true),
             m = kernel_buffer(kernel, "m", DT_BOOL, true, true);
    uint32_t at = kernel_buffer(kernel, "at", DT_I64, true, false),
             y = kernel_buffer(kernel, "y", DT_F32, false, true);
    KBuilder b = kernel_builder(kernel);
    KInst *zero = kir_index(&b, 0), *mask = kir_load(&b, m, zero, 8, NULL),
          *where = kir_load(&b, at, zero, 8, NULL);
    kir_store(&b, y, zero, kir_load(&b, x, zero, 8, mask), NULL);
    kir_store(&b, y, kir_index(&b, 8), kir_load(&b, x, where, 8, mask), NULL);
    kir_store(&b, x, where, kir_splat(&b, kir_float(&b, DT_F32, 9), 8), mask);
    kir_store(&b, m, zero, mask, NULL);
    KernelRun run = {0};
    kernel_run_open(&run, arena, kernel, 1);
    float in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[16];
    uint8_t bools[8] = {1, 0, 255, 0, 2, 1, 0, 1};
    int64_t places[8] = {7, 1000000, 5, -4, 3, 2, 1 << 30, 0};
    kernel_run_call(&run, (void *[]){in, bools, places, out});
    static const float wanted[16] = {1, 0, 3, 0, 5, 6, 0, 8, 8, 0, 6, 0, 4, 3, 0, 1},
                       left[8] = {9, 2, 9, 9, 5, 9, 7, 9};
    static const uint8_t normal[8] = {1, 0, 1, 0, 1, 1, 0, 1};
    cr_assert(memcmp(out, wanted, sizeof wanted) == 0);
    cr_assert(memcmp(in, left, sizeof left) == 0);
    cr_assert(memcmp(bools, normal, sizeof normal) == 0);
    kernel_run_close(&run);
    arena_free(arena);
}

Test(codegen, the_lowest_failing_element_is_kept)
{
    Arena *arena = arena_new();
    Kernel *kernel = kernel_new(arena, "checks");
    uint32_t x = kernel_buffer(kernel, "x", DT_I32, true, false);
    KBuilder b = kernel_builder(kernel);
    KInst *loop = kir_for(&b, kernel->body->args.data[0], kernel->body->args.data[1], 8, NULL, 0),
          *i = kir_loop_arg(loop, 0);
    KInst *v = kir_load(&b, x, i, 8, NULL),
          *element = kir_binary(&b, K_ADD, i, kir_iota(&b, DT_I64, 8));
    kir_fail(&b, 0, kir_binary(&b, K_LT, v, kir_int(&b, DT_I32, 0)), element);
    kir_fail(&b, 2, kir_binary(&b, K_EQ, kir_extract(&b, v, 1), kir_int(&b, DT_I32, 7)), i);
    kir_fail(&b, 3, kir_binary(&b, K_LT, kir_int(&b, DT_I32, 100), v), element);
    kir_end_for(&b, loop, NULL);
    int32_t data[32] = {0};
    data[13] = data[21] = data[30] = -5;
    data[17] = 7;
    KernelRun run = {0};
    kernel_run_open(&run, arena, kernel, 32);
    kernel_run_call(&run, (void *[]){data});
    cr_assert(run.failures[0] == 13 && run.failures[1] == -1 && run.failures[2] == 16 &&
              run.failures[3] == -1);
    kernel_run_close(&run);
    arena_free(arena);
}

/* ---- control flow ---- */

/* Collatz steps, with an if in a loop in a loop, against C. */
Test(codegen, loops_carry_values_through_branches)
{
    Arena *arena = arena_new();
    Kernel *kernel = kernel_new(arena, "collatz");
    uint32_t out = kernel_buffer(kernel, "out", DT_I64, false, true);
    KBuilder b = kernel_builder(kernel);
    KInst *one = kir_index(&b, 1), *two = kir_index(&b, 2), *zero = kir_index(&b, 0);
    KInst *items = kir_for(&b, kernel->body->args.data[0], kernel->body->args.data[1], 1, NULL, 0);
    KInst *n = kir_binary(&b, K_ADD, kir_loop_arg(items, 0), one);
    KInst *walk = kir_for(&b, zero, kir_index(&b, 1000), 1, (KInst *[]){n, zero}, 2);
    KInst *at = kir_loop_arg(walk, 1), *steps = kir_loop_arg(walk, 2);
    KInst *running = kir_if(&b, kir_binary(&b, K_NE, at, one));
    KInst *even = kir_if(&b, kir_binary(&b, K_EQ, kir_binary(&b, K_IMOD, at, two), zero));
    KInst *half = kir_binary(&b, K_IDIV, at, two);
    kir_else(&b, even, &half, 1);
    KInst *grown = kir_binary(&b, K_ADD, kir_binary(&b, K_MUL, at, kir_index(&b, 3)), one);
    kir_end_if(&b, even, &grown, 1);
    kir_else(&b, running, (KInst *[]){kir_result(&b, even, 0), kir_binary(&b, K_ADD, steps, one)},
             2);
    kir_end_if(&b, running, (KInst *[]){at, steps}, 2);
    kir_end_for(&b, walk, (KInst *[]){kir_result(&b, running, 0), kir_result(&b, running, 1)});
    kir_store(&b, out, kir_loop_arg(items, 0), kir_result(&b, walk, 1), NULL);
    kir_end_for(&b, items, NULL);
    KernelRun run = {0};
    kernel_run_open(&run, arena, kernel, 100);
    int64_t got[100];
    kernel_run_call(&run, (void *[]){got});
    for (int64_t i = 1; i <= 100; i++) {
        int64_t count = 0;
        for (int64_t x = i; x != 1; x = x % 2 ? 3 * x + 1 : x / 2) {
            count++;
        }
        cr_assert_eq(got[i - 1], count, "%ld", (long)i);
    }
    kernel_run_close(&run);
    arena_free(arena);
}

/* for low .. high step s, with constant limits and limits read at run time: how often, and the last
 * counter. */
Test(codegen, loops_run_while_the_counter_is_below_the_limit)
{
    static const int64_t limits[][3] = {{0, 0, 1},  {5, 3, 2},   {0, 1, 1}, {0, 7, 3},
                                        {-4, 9, 4}, {0, 3, 100}, {2, 12, 5}};
    for (int known = 0; known < 2; known++) {
        Arena *arena = arena_new();
        Kernel *kernel = kernel_new(arena, "limits");
        uint32_t in = kernel_buffer(kernel, "in", DT_I64, true, false),
                 out = kernel_buffer(kernel, "out", DT_I64, false, true);
        KBuilder b = kernel_builder(kernel);
        int64_t data[14], got[14];
        for (int i = 0; i < 7; i++) {
            data[2 * i] = limits[i][0];
            data[2 * i + 1] = limits[i][1];
            KInst *low = known ? kir_index(&b, limits[i][0])
                               : kir_load(&b, in, kir_index(&b, 2 * i), 1, NULL);
            KInst *high = known ? kir_index(&b, limits[i][1])
                                : kir_load(&b, in, kir_index(&b, 2 * i + 1), 1, NULL);
            KInst *inits[2] = {kir_index(&b, 0), kir_index(&b, -77)};
            KInst *loop = kir_for(&b, low, high, limits[i][2], inits, 2);
            KInst *more = kir_binary(&b, K_ADD, kir_loop_arg(loop, 1), kir_index(&b, 1));
            kir_end_for(&b, loop, (KInst *[]){more, kir_loop_arg(loop, 0)});
            kir_store(&b, out, kir_index(&b, 2 * i), kir_result(&b, loop, 0), NULL);
            kir_store(&b, out, kir_index(&b, 2 * i + 1), kir_result(&b, loop, 1), NULL);
        }
        KernelRun run = {0};
        kernel_run_open(&run, arena, kernel, 1);
        kernel_run_call(&run, (void *[]){data, got});
        for (int i = 0; i < 7; i++) {
            int64_t trips = 0, last = -77;
            for (int64_t c = limits[i][0]; c < limits[i][1]; c += limits[i][2], trips++) {
                last = c;
            }
            cr_assert(got[2 * i] == trips && got[2 * i + 1] == last, "loop %d known %d: %ld %ld", i,
                      known, (long)got[2 * i], (long)got[2 * i + 1]);
        }
        kernel_run_close(&run);
        arena_free(arena);
    }
}

/* ---- announcing to the race detector ---- */

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

Test(codegen, accesses_are_announced_when_asked)
{
    Arena *arena = arena_new();
    Kernel *kernel = kernel_new(arena, "announced");
    uint32_t x = kernel_buffer(kernel, "x", DT_F32, true, true);
    KBuilder b = kernel_builder(kernel);
    KInst *zero = kir_index(&b, 0), *lanes = kir_iota(&b, DT_I64, 4);
    KInst *v = kir_load(&b, x, zero, 16, NULL);
    kir_store(&b, x, kir_index(&b, 16), v, NULL);
    kir_store(&b, x, lanes,
              kir_load(&b, x, lanes, 4, kir_binary(&b, K_LT, lanes, kir_index(&b, 2))), NULL);
    KProgram *program = ARENA_NEW(arena, KProgram);
    program->name = "t";
    program->plan = constant_plan(arena, (int64_t[]){0}, 1);
    vec_push(arena, &program->kernels, kernel);
    for (int announce = 0; announce < 2; announce++) {
        StrBuf text = {0}, assembly = {0};
        CodegenOptions options = {
            .announce_ranges = announce, .llvm = &text, .assembly = &assembly};
        ObjectCode object;
        char *error = NULL;
        cr_assert(codegen_object(&program, 1, &options, &object, &error), "%s", error);
        cr_assert_eq(count_of(text.text, "call void @__tsan_read_range"), announce ? 5 : 0);
        cr_assert_eq(count_of(text.text, "call void @__tsan_write_range"), announce ? 6 : 0);
        cr_assert(count_of(text.text, ", i64 64)") == (announce ? 2 : 0) &&
                  strstr(assembly.text, "t.announced.body:"));
        codegen_object_free(&object);
        strbuf_free(&text);
        strbuf_free(&assembly);
    }
    arena_free(arena);
}

/* ---- random kernels on three processors ---- */

typedef struct {
    char data[DT_COUNT][64 * 8];
} Memory;

static void fill_memory(Memory *memory)
{
    for (int dtype = 0; dtype < DT_COUNT; dtype++) {
        for (int i = 0; i < 64; i++) {
            store_value((DType)dtype, memory->data[dtype], i,
                        edge((DType)dtype, (i * 11 + dtype) % EDGES));
        }
    }
}

static void run_on(const char *cpu, Kernel *kernel, Arena *arena, Memory *memory, int64_t *failures)
{
    KernelRun run = {0};
    run.cpu = cpu;
    kernel_run_open(&run, arena, kernel, 3);
    fill_memory(memory);
    void *buffers[DT_COUNT];
    for (int i = 0; i < DT_COUNT; i++) {
        buffers[i] = memory->data[i];
    }
    kernel_run_call(&run, buffers);
    memcpy(failures, run.failures, sizeof run.failures);
    kernel_run_close(&run);
}

static bool same_memory(const Memory *x, const Memory *y)
{
    for (int dtype = 0; dtype < DT_COUNT; dtype++) {
        for (int i = 0; i < 64; i++) {
            if (!same_value((DType)dtype, load_value((DType)dtype, x->data[dtype], i),
                            load_value((DType)dtype, y->data[dtype], i))) {
                return false;
            }
        }
    }
    return true;
}

Test(codegen, random_kernels_agree_on_every_processor)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        Arena *arena = arena_new();
        Kernel *kernel = kernel_random(arena, seed + 5000, 30);
        Memory host, other;
        int64_t host_failures[8], failures[8];
        run_on(NULL, kernel, arena, &host, host_failures);
        for (int i = 0; i < 2; i++) {
            const char *cpu = i ? "x86-64-v3" : "x86-64";
            run_on(cpu, kernel, arena, &other, failures);
            bool same =
                same_memory(&host, &other) && memcmp(failures, host_failures, sizeof failures) == 0;
            StrBuf text = {0};
            if (!same) {
                kernel_print(kernel, &text);
            }
            cr_assert(same, "seed %lu on %s\n%s", (unsigned long)seed, cpu, text.text);
        }
        arena_free(arena);
    }
}
