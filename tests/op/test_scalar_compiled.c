/* Elementwise functions and conversions: compiled code gives the bits of the C reading of the
 * same definitions, over bit patterns from the whole range of each type (denormals, infinities
 * and NaN among them) and over values of ordinary size. */
#include "compiler/graph/build.h"
#include "runtime/base/scalar.h"
#include "tests/support/compiled.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = 16384 + 5, ROUNDS = 12, MOST_ROOTS = 64 };

typedef struct {
    OpCode op;
    ScalarOp scalar;
} Pair;

static const Pair pairs[] = {
#define SCALAR(e, name, operands, on_float, on_int, on_bool, result) PAIR_##e
#define ROW(e) {OP_##e, SCALAR_##e},
#define PAIR_NEG ROW(NEG)
#define PAIR_ABS ROW(ABS)
#define PAIR_SIGN ROW(SIGN)
#define PAIR_FLOOR ROW(FLOOR)
#define PAIR_CEIL ROW(CEIL)
#define PAIR_ROUND ROW(ROUND)
#define PAIR_SQRT ROW(SQRT)
#define PAIR_EXP ROW(EXP)
#define PAIR_LOG ROW(LOG)
#define PAIR_LOG1P ROW(LOG1P)
#define PAIR_EXPM1 ROW(EXPM1)
#define PAIR_TANH ROW(TANH)
#define PAIR_SIN ROW(SIN)
#define PAIR_COS ROW(COS)
#define PAIR_ERF ROW(ERF)
#define PAIR_NOT ROW(NOT)
#define PAIR_IS_NAN ROW(IS_NAN)
#define PAIR_ADD ROW(ADD)
#define PAIR_SUB ROW(SUB)
#define PAIR_MUL ROW(MUL)
#define PAIR_DIV ROW(DIV)
#define PAIR_FLOORDIV ROW(FLOORDIV)
#define PAIR_MOD ROW(MOD)
#define PAIR_POW ROW(POW)
#define PAIR_MAX ROW(MAX)
#define PAIR_MIN ROW(MIN)
#define PAIR_AND ROW(AND)
#define PAIR_OR ROW(OR)
#define PAIR_XOR ROW(XOR)
#define PAIR_SHL /* no operation of the graph yet */
#define PAIR_SHR
#define PAIR_EQ ROW(EQ)
#define PAIR_NE ROW(NE)
#define PAIR_LT ROW(LT)
#define PAIR_LE ROW(LE)
#define PAIR_SELECT ROW(SELECT)
#define PAIR_FMA ROW(FMA)
#include "runtime/base/scalar.def"
};
enum { PAIRS = sizeof pairs / sizeof pairs[0] };

typedef struct {
    Arena *arena;
    DType type;
    Graph *graph;
    Pair outputs[MOST_ROOTS];  /* of the functions */
    DType targets[MOST_ROOTS]; /* of the conversions */
    void *operands[4];         /* x, y, z of the type; c of bool */
} Case;

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state ^ (*state >> 31);
}

static void fill(DType type, uint64_t *state, int round, void *out)
{
    for (int i = 0; i < ELEMENTS; i++) {
        uint64_t bits = next_random(state);
        double ordinary = ((double)(bits >> 11) * 0x1p-53 - 0.5) * ldexp(1, round % 8);
        if (type == DT_BOOL) {
            bits &= 1;
        } else if (type == DT_F32 && round % 2) {
            float value = (float)ordinary;
            memcpy(&bits, &value, sizeof value);
        } else if (type == DT_F64 && round % 2) {
            memcpy(&bits, &ordinary, sizeof ordinary);
        } else if (round % 4 == 3 || i % 64 == 0) {
            bits = (uint64_t)((int64_t)(bits % 9) -
                              4); /* small integers; as floats: denormals and NaN */
        }
        memcpy((char *)out + (size_t)i * dtype_bytes(type), &bits, dtype_bytes(type));
    }
}

static const void *leaf_data(void *user, const Node *leaf)
{
    const Case *t = user;
    return t->operands[leaf->attr.leaf.name[0] == 'c' ? 3 : leaf->attr.leaf.name[0] - 'x'];
}

static Type vector_of(Case *t, DType type)
{
    return (Type){.dtype = type, .rank = 1, .dims = {dim_const(t->graph->dims, ELEMENTS)}};
}

static Case open_case(DType type)
{
    Case t = {.arena = arena_new(), .type = type};
    t.graph = graph_new(t.arena, dim_table_new(t.arena), "g");
    for (int i = 0; i < 4; i++) {
        t.operands[i] = arena_alloc(t.arena, ELEMENTS * 8);
    }
    return t;
}

static bool same_bits(DType type, const void *a, const void *b, int i)
{
    size_t bytes = dtype_bytes(type);
    const char *x = (const char *)a + (size_t)i * bytes, *y = (const char *)b + (size_t)i * bytes;
    if (memcmp(x, y, bytes) == 0) {
        return true;
    }
    double u = 0, v = 0; /* payloads of NaN are nobody's business */
    if (dtype_is_float(type)) {
        scalar_convert(type, DT_F64, x, &u, 1);
        scalar_convert(type, DT_F64, y, &v, 1);
    }
    return isnan(u) && isnan(v);
}

static void compare(const Case *t, const char *name, DType result, const void *want,
                    const void *got)
{
    for (int i = 0; i < ELEMENTS; i++) {
        if (!same_bits(result, want, got, i)) {
            double shown[4] = {0};
            scalar_convert(t->type, DT_F64,
                           (char *)t->operands[0] + (size_t)i * dtype_bytes(t->type), &shown[0], 1);
            scalar_convert(t->type, DT_F64,
                           (char *)t->operands[1] + (size_t)i * dtype_bytes(t->type), &shown[1], 1);
            scalar_convert(result, DT_F64, (const char *)want + (size_t)i * dtype_bytes(result),
                           &shown[2], 1);
            scalar_convert(result, DT_F64, (const char *)got + (size_t)i * dtype_bytes(result),
                           &shown[3], 1);
            cr_expect_fail("%s on %s: x = %a, y = %a: C %a, compiled %a", name, dtype_name(t->type),
                           shown[0], shown[1], shown[2], shown[3]);
            return;
        }
    }
}

typedef void CheckRoot(const Case *t, uint32_t root, const void *got, void *want);

static void run_case(Case *t, CheckRoot *check)
{
    Compiled compiled;
    char *error = NULL;
    ScheduleOptions schedule = {.fuse = true, .plan = true};
    LowerOptions lower = {0};
    cr_assert(compiled_open(&compiled, t->arena, t->graph, &schedule, &lower, &error), "%s",
              error ? error : "");
    uint64_t state = 1;
    void *want = malloc(ELEMENTS * 8);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 4; i++) {
            fill(i == 3 ? DT_BOOL : t->type, &state, round, t->operands[i]);
        }
        const void *got[MOST_ROOTS] = {0};
        CompiledCall call = {
            .symbols = (int64_t[]){0}, .leaf = leaf_data, .user = t, .chunks = 1 + round % 3};
        cr_assert(compiled_run(&compiled, &call, got));
        for (uint32_t root = 0; root < t->graph->roots.count; root++) {
            check(t, root, got[root], want);
        }
    }
    free(want);
    compiled_close(&compiled);
    arena_free(t->arena);
}

static void check_function(const Case *t, uint32_t root, const void *got, void *want)
{
    ScalarOp op = t->outputs[root].scalar;
    const void *args[3] = {t->operands[0], t->operands[1], t->operands[2]};
    if (op == SCALAR_SELECT) {
        args[0] = t->operands[3];
    }
    scalar_map(op, t->type, args, want, ELEMENTS);
    compare(t, scalar_name(op), scalar_is_test(op) ? DT_BOOL : t->type, want, got);
}

static void check_functions(DType type)
{
    Case t = open_case(type);
    Node *x = build_leaf(t.graph, OP_INPUT, "x", vector_of(&t, type)),
         *y = build_leaf(t.graph, OP_INPUT, "y", vector_of(&t, type));
    Node *z = build_leaf(t.graph, OP_INPUT, "z", vector_of(&t, type)),
         *c = build_leaf(t.graph, OP_INPUT, "c", vector_of(&t, DT_BOOL));
    int count = 0;
    for (int i = 0; i < PAIRS; i++) {
        if (!scalar_legal(pairs[i].scalar, type)) {
            continue;
        }
        Node *operands[3] = {pairs[i].scalar == SCALAR_SELECT ? c : x, y, z};
        Node *result =
            graph_node(t.graph, pairs[i].op, operands, scalar_operands(pairs[i].scalar), NULL);
        if (!result) { /* the graph may refuse what a scalar function could do */
            continue;
        }
        graph_root(t.graph, ROOT_OUTPUT,
                   arena_format(t.arena, "out_%s", scalar_name(pairs[i].scalar)), result);
        t.outputs[count++] = pairs[i];
    }
    cr_assert_gt(count, 5);
    run_case(&t, check_function);
}

Test(scalar_compiled, f32)
{
    check_functions(DT_F32);
}

Test(scalar_compiled, f64)
{
    check_functions(DT_F64);
}

Test(scalar_compiled, i32)
{
    check_functions(DT_I32);
}

Test(scalar_compiled, i64)
{
    check_functions(DT_I64);
}

Test(scalar_compiled, u8)
{
    check_functions(DT_U8);
}

Test(scalar_compiled, truth_values)
{
    check_functions(DT_BOOL);
}

static void check_conversion(const Case *t, uint32_t root, const void *got, void *want)
{
    scalar_convert(t->type, t->targets[root], t->operands[0], want, ELEMENTS);
    compare(t, dtype_name(t->targets[root]), t->targets[root], want, got);
}

Test(scalar_compiled, conversions)
{
    for (int type = 0; type < DT_COUNT; type++) {
        Case t = open_case((DType)type);
        Node *x = build_leaf(t.graph, OP_INPUT, "x", vector_of(&t, (DType)type));
        int count = 0;
        for (int target = 0; target < DT_COUNT; target++) {
            if (target != type) {
                Node *result = build_convert(t.graph, x, (DType)target);
                cr_assert_not_null(result);
                graph_root(t.graph, ROOT_OUTPUT,
                           arena_format(t.arena, "out_%s", dtype_name((DType)target)), result);
                t.targets[count++] = (DType)target;
            }
        }
        run_case(&t, check_conversion);
    }
}
