/* Kernel IR: what the builder folds and shares, the text and its errors, the verifier, equality of
 * kernels. */
#include "compiler/kernel/kir.h"
#include "compiler/kernel/kir_rules.h"
#include "tests/support/kernel_random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Arena *arena;
    Kernel *kernel;
    KBuilder b;
    KInst *begin, *end;
    uint32_t x, y;
} Bench;

static Bench open_bench(void)
{
    Bench t = {.arena = arena_new()};
    t.kernel = kernel_new(t.arena, "k");
    t.x = kernel_buffer(t.kernel, "x", DT_F32, true, false);
    t.y = kernel_buffer(t.kernel, "y", DT_F32, true, true);
    t.b = kernel_builder(t.kernel);
    t.begin = t.kernel->body->args.data[0];
    t.end = t.kernel->body->args.data[1];
    return t;
}

static KInst *index_op(Bench *t, KOp op, KInst *x, int64_t c)
{
    return kir_binary(&t->b, op, x, kir_index(&t->b, c));
}

/* inst is base + constant or base * constant */
static bool is_with(const KInst *inst, KOp op, const KInst *base, int64_t constant)
{
    int64_t value;
    return inst->op == op && inst->src[0] == base && kir_constant(inst->src[1], &value) &&
           value == constant;
}

Test(kernel, index_sums_keep_their_constant_outermost)
{
    Bench t = open_bench();
    KInst *i = t.begin, *j = t.end;
    KInst *i8 = index_op(&t, K_MUL, i, 8);
    cr_assert(is_with(i8, K_MUL, i, 8));
    cr_assert(is_with(index_op(&t, K_MUL, index_op(&t, K_ADD, i, 3), 8), K_ADD, i8, 24));
    cr_assert(is_with(index_op(&t, K_ADD, index_op(&t, K_ADD, i, 3), 4), K_ADD, i, 7));
    cr_assert(is_with(index_op(&t, K_SUB, i, 5), K_ADD, i, -5));
    cr_assert(is_with(index_op(&t, K_MUL, i8, 3), K_MUL, i, 24));
    KInst *sum = kir_binary(&t.b, K_ADD, i8, j);
    cr_assert(
        is_with(kir_binary(&t.b, K_ADD, index_op(&t, K_ADD, i8, 2), index_op(&t, K_ADD, j, 3)),
                K_ADD, sum, 5));
    KInst *difference = kir_binary(&t.b, K_SUB, i8, j);
    cr_assert(
        is_with(kir_binary(&t.b, K_SUB, i8, index_op(&t, K_ADD, j, 3)), K_ADD, difference, -3));
    arena_free(t.arena);
}

Test(kernel, neutral_operands_vanish)
{
    Bench t = open_bench();
    KInst *i = t.begin;
    int64_t value;
    cr_assert_eq(index_op(&t, K_ADD, i, 0), i);
    cr_assert_eq(index_op(&t, K_MUL, i, 1), i);
    cr_assert_eq(index_op(&t, K_IDIV, i, 1), i);
    cr_assert_eq(index_op(&t, K_AND, i, -1), i);
    cr_assert_eq(kir_binary(&t.b, K_ADD, kir_index(&t.b, 0), i), i);
    cr_assert(kir_constant(index_op(&t, K_MUL, i, 0), &value) && value == 0);
    cr_assert(kir_constant(index_op(&t, K_IMOD, i, 1), &value) && value == 0);
    cr_assert(kir_constant(kir_binary(&t.b, K_SUB, i, i), &value) && value == 0);
    cr_assert(kir_constant(kir_binary(&t.b, K_LE, i, i), &value) && value == 1);
    cr_assert_eq(kir_splat(&t.b, i, 1), i);
    cr_assert_eq(kir_extract(&t.b, kir_splat(&t.b, i, 8), 3), i);
    cr_assert_eq(kir_convert(&t.b, i, DT_I64), i);
    cr_assert_eq(kir_select(&t.b, kir_int(&t.b, DT_BOOL, 1), i, t.end), i);
    arena_free(t.arena);
}

Test(kernel, floats_are_left_as_written)
{
    Bench t = open_bench();
    KInst *x = kir_load(&t.b, t.x, t.begin, 1, NULL), *zero = kir_float(&t.b, DT_F32, 0);
    cr_assert_eq(kir_binary(&t.b, K_ADD, x, zero)->op, K_ADD);
    cr_assert_eq(kir_binary(&t.b, K_MUL, zero, x)->src[0], zero);
    cr_assert_eq(kir_binary(&t.b, K_EQ, x, x)->op, K_EQ);
    cr_assert_neq(zero, kir_float(&t.b, DT_F32, -0.0));
    arena_free(t.arena);
}

typedef struct {
    KOp op;
    DType dtype;
    int64_t x, y, result;
} Folded;

Test(kernel, constants_are_computed_as_the_machine_would)
{
    static const Folded rows[] = {
        {K_IDIV, DT_I64, -7, 2, -4},
        {K_IMOD, DT_I64, -7, 2, 1},
        {K_IDIV, DT_I64, 7, -2, -4},
        {K_IMOD, DT_I64, 7, -2, -1},
        {K_IDIV, DT_I32, INT32_MIN, -1, INT32_MIN},
        {K_IMOD, DT_I64, INT64_MIN, -1, 0},
        {K_ADD, DT_I32, INT32_MAX, 1, INT32_MIN},
        {K_MUL, DT_U8, 200, 2, 144},
        {K_SUB, DT_U8, 1, 2, 255},
        {K_LSHR, DT_I32, -1, 28, 15},
        {K_ASHR, DT_I32, -16, 2, -4},
        {K_SHL, DT_I32, 1, 31, INT32_MIN},
        {K_UMULHI, DT_I32, -1, -1, -2},
        {K_LT, DT_I32, -1, 0, 1},
        {K_ULT, DT_I32, -1, 0, 0},
        {K_LT, DT_U8, 200, 100, 0},
        {K_IMIN, DT_I64, -3, 2, -3},
        {K_IMAX, DT_U8, 200, 100, 200},
        {K_XOR, DT_BOOL, 1, 1, 0},
    };
    Bench t = open_bench();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const Folded *row = &rows[i];
        KInst *x = kir_int(&t.b, row->dtype, row->x), *y = kir_int(&t.b, row->dtype, row->y);
        int64_t value = 0;
        cr_assert(kir_constant(kir_binary(&t.b, row->op, x, y), &value), "row %zu is not folded",
                  i);
        cr_assert_eq(value, row->result, "row %zu: %ld", i, (long)value);
    }
    KInst *zero = kir_index(&t.b, 0);
    cr_assert_eq(kir_binary(&t.b, K_IDIV, kir_index(&t.b, 1), zero)->op, K_IDIV);
    arena_free(t.arena);
}

Test(kernel, values_are_found_again_also_from_inner_blocks)
{
    Bench t = open_bench();
    KInst *outer = index_op(&t, K_MUL, t.begin, 12);
    KInst *loop = kir_for(&t.b, t.begin, t.end, 1, NULL, 0);
    cr_assert_eq(index_op(&t, K_MUL, t.begin, 12), outer);
    KInst *inner = index_op(&t, K_MUL, kir_loop_arg(loop, 0), 12);
    cr_assert_eq(index_op(&t, K_MUL, kir_loop_arg(loop, 0), 12), inner);
    KInst *first = kir_load(&t.b, t.y, inner, 1, NULL);
    cr_assert_neq(kir_load(&t.b, t.y, inner, 1, NULL), first,
                  "a load is made again: a store may stand between");
    kir_end_for(&t.b, loop, NULL);
    KInst *branch = kir_if(&t.b, kir_binary(&t.b, K_LT, t.begin, t.end));
    KInst *in_then = index_op(&t, K_MUL, t.end, 5);
    kir_else(&t.b, branch, NULL, 0);
    cr_assert_neq(index_op(&t, K_MUL, t.end, 5), in_then, "the other branch does not see it");
    kir_end_if(&t.b, branch, NULL, 0);
    cr_assert(kernel_verify(t.kernel, NULL));
    arena_free(t.arena);
}

Test(kernel, scalars_are_splatted_by_themselves)
{
    Bench t = open_bench();
    KInst *v = kir_load(&t.b, t.x, t.begin, 16, NULL), *s = kir_load(&t.b, t.x, t.end, 1, NULL);
    cr_assert_eq(kir_binary(&t.b, K_MUL, v, s)->type.lanes, 16);
    cr_assert_eq(kir_fma(&t.b, s, v, s)->type.lanes, 16);
    KInst *mask = kir_binary(&t.b, K_LT, s, v);
    cr_assert(mask->type.lanes == 16 && mask->type.dtype == DT_BOOL);
    cr_assert_eq(kir_select(&t.b, mask, s, s), kir_splat(&t.b, s, 16));
    cr_assert_eq(kir_select(&t.b, kir_extract(&t.b, mask, 0), v, s)->src[0]->type.lanes, 1);
    kir_store(&t.b, t.y, t.begin, s, mask);
    cr_assert(kernel_verify(t.kernel, NULL));
    arena_free(t.arena);
}

static void round_trip(const Kernel *kernel, const char *what)
{
    Arena *arena = arena_new();
    StrBuf first = {0}, second = {0};
    char *error;
    kernel_print(kernel, &first);
    Kernel *again = kernel_read(arena, first.text, &error);
    cr_assert(again, "%s: %s\n%s", what, error, first.text);
    kernel_print(again, &second);
    cr_assert_str_eq(first.text, second.text, "%s", what);
    cr_assert(kernel_equal(kernel, again) && kernel_hash(kernel) == kernel_hash(again), "%s", what);
    strbuf_free(&first);
    strbuf_free(&second);
    arena_free(arena);
}

Test(kernel, random_kernels_survive_their_text)
{
    for (uint64_t seed = 0; seed < 1500; seed++) {
        Arena *arena = arena_new();
        Kernel *kernel = kernel_random(arena, seed, 4 + (int)(seed % 60));
        StrBuf faults = {0};
        cr_assert(kernel_verify(kernel, &faults), "seed %lu: %s", (unsigned long)seed, faults.text);
        round_trip(kernel, "random kernel");
        arena_free(arena);
    }
}

Test(kernel, random_kernels_are_all_different)
{
    Arena *arena = arena_new();
    Kernel *kernels[60];
    for (int i = 0; i < 60; i++) {
        kernels[i] = kernel_random(arena, (uint64_t)i, 40);
        for (int j = 0; j < i; j++) {
            cr_assert(!kernel_equal(kernels[i], kernels[j]) &&
                      kernel_hash(kernels[i]) != kernel_hash(kernels[j]));
        }
        cr_assert(kernel_equal(kernels[i], kernel_random(arena, (uint64_t)i, 40)));
    }
    arena_free(arena);
}

static char *file_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s", path);
    char *text = calloc(1, 1 << 16);
    cr_assert(fread(text, 1, (1 << 16) - 1, file) > 0);
    fclose(file);
    return text;
}

Test(kernel, the_golden_text_is_read_and_printed_as_it_stands)
{
    Arena *arena = arena_new();
    char *text = file_text(NNC_SOURCE_DIR "/tests/golden/kernel/softmax_row.k"), *error;
    Kernel *kernel = kernel_read(arena, text, &error);
    cr_assert(kernel, "%s", error);
    StrBuf out = {0};
    kernel_print(kernel, &out);
    cr_assert_str_eq(out.text, text);
    strbuf_free(&out);
    free(text);
    arena_free(arena);
}

Test(kernel, no_cut_or_changed_text_is_taken_for_something_else)
{
    char *text = file_text(NNC_SOURCE_DIR "/tests/golden/kernel/softmax_row.k");
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        static const char others[] = "%}7x\n";
        for (int variant = 0; variant <= 5; variant++) {
            char *changed = strdup(text);
            changed[i] = variant == 5 ? '\0' : others[variant];
            Arena *arena = arena_new();
            char *error = NULL;
            Kernel *kernel = kernel_read(arena, changed, &error);
            cr_assert(kernel || error);
            if (kernel) {
                round_trip(kernel, "changed text");
            }
            free(error);
            free(changed);
            arena_free(arena);
        }
    }
    free(text);
}

typedef struct {
    const char *body, *error;
} Wrong;

static const Wrong wrong_bodies[] = {
    {"  %0 = add %1, %begin : i64\n", "line 2: a value is used before its definition"},
    {"  %1 = const 1 : i64\n", "line 2: values are not numbered in order"},
    {"  %0 = plus %begin, %end : i64\n", "line 2: no instruction is called 'plus'"},
    {"  store x[%begin]\n", "line 3: expected ','"},
    {"  store z[%begin], %begin\n", "line 2: no such buffer"},
    {"  add %begin, %end : i64\n", "line 2: the value needs a number"},
    {"  %0 = store x[%begin], %begin\n", "line 2: this instruction has no value"},
    {"  %0 = const 1 : f8\n", "line 2: expected a type"},
    {"  %0 = const 1.5 : i64\n", "line 2: expected an integer"},
    {"  %0 = const 1 : i64x0\n", "line 2: expected a type"},
    {"  %0 = const 0.1 : f32\n", "kernel k: %2 const: the constant is not exact in its type\n"},
    {"  %0 = const 1.001 : bf16\n", "kernel k: %2 const: the constant is not exact in its type\n"},
    {"  %0 = const 1.5 : f16\n  %1 = add %0, %0 : f16\n",
     "kernel k: %3 add: not for operands of this type\n"},
    {"  %0 = const 1.5 : bf16\n  %1 = lt %0, %0 : bool\n",
     "kernel k: %3 lt: not for operands of this type\n"},
    {"  %0 = const -129 : i8\n", "kernel k: %2 const: the constant is out of range\n"},
    {"  %0 = const 300 : u8\n", "kernel k: %2 const: the constant is out of range\n"},
    {"  %0 = load x[%begin] : f64\n", "kernel k: %2 load: the value is not of the buffer's type\n"},
    {"  %0 = load y[%begin] : i64\n", "kernel k: %2 load: the buffer is not marked read\n"},
    {"  %0 = load x[%begin] : f32\n  store x[%begin], %0\n",
     "kernel k: %3 store: the buffer is not marked written\n"},
    {"  %0 = add %begin, %end : i32\n",
     "kernel k: %2 add: the result is not of the operands' type\n"},
    {"  %0 = fma %begin, %begin, %end : i64\n",
     "kernel k: %2 fma: not for operands of this type\n"},
    {"  %0 = add %begin : i64\n", "kernel k: %2 add: the wrong number of operands\n"},
    {"  %0 = lt %begin, %end : i64\n",
     "kernel k: %2 lt: the result is not bool of as many lanes\n"},
    {"  %0 = splat %begin : i32x4\n",
     "kernel k: %2 splat: the operand is not a scalar of the result's element type\n"},
    {"  %0 = bitcast %begin : f32\n", "kernel k: %2 bitcast: the types differ in size\n"},
    {"  %0 = iota : i64x3\n  %1 = halves_add %0 : i64\n",
     "kernel k: %3 halves_add: the number of lanes is not a power of two\n"},
    {"  %0 = extract %begin, 1 : i64\n", "kernel k: %2 extract: no such lane\n"},
    {"  %0 = iota : i64x2\n  %1 = shuffle %0, %0[0, 4] : i64x2\n",
     "kernel k: %3 shuffle: the mask picks a lane that is not there\n"},
    {"  %0 = iota : i64x2\n  %1 = shuffle %0, %0[0, 1] : i64x4\n",
     "line 3: the mask is not as long as the result"},
    {"  %0 = for %1 = %begin .. %end step 0 {\n    yield\n  }\n",
     "kernel k: %2 for: the step is not positive\n"},
    {"  %0 = for %1 = %begin .. %end step 1 {\n  }\n",
     "kernel k: %2 for: a block does not end with yield\nkernel k: %2 for: the body does not yield "
     "the carried values\n"},
    {"  %0 = for %1 = %begin .. %end step 1 (%2 = %end : i32) {\n    yield %2\n  }\n",
     "kernel k: %2 for: a parameter of the body is not of the type of its first value\n"},
    {"  %0 = for %1 = %begin .. %end step 1 {\n    yield\n  }\n  store y[%1], %1\n",
     "kernel k: %5 store: an operand is not defined before it or not visible here\n"},
    {"  %0 = for %1 = %begin .. %end step 1 {\n    yield\n  }\n  %2 = result %0, 0 : i64\n",
     "kernel k: %5 result: no such result\n"},
    {"  %0 = if %begin {\n    yield\n  } else {\n    yield\n  }\n",
     "kernel k: %2 if: the condition is not a scalar bool\n"},
    {"  %0 = lt %begin, %end : bool\n  %1 = if %0 {\n    yield %0\n  } else {\n    yield\n  }\n",
     "kernel k: %3 if: the blocks do not yield the same types\n"},
    {"  yield\n",
     "kernel k: %2 yield: yield is not at the end of the block of a loop or a branch\n"},
    {"  %0 = arg 0 : i64\n", "kernel k: %2 arg: a parameter stands at the head of a block\n"},
    {"  %0 = const 1 : i64\n", NULL},
};

Test(kernel, every_fault_has_its_message)
{
    for (size_t i = 0; i < sizeof wrong_bodies / sizeof *wrong_bodies; i++) {
        Arena *arena = arena_new();
        char *error = NULL;
        char *text = arena_format(arena, "kernel k (x: f32 read, y: i64 write) {\n%s}\n",
                                  wrong_bodies[i].body);
        Kernel *kernel = kernel_read(arena, text, &error);
        if (wrong_bodies[i].error) {
            cr_assert(!kernel, "row %zu is accepted", i);
            cr_assert_str_eq(error, wrong_bodies[i].error, "row %zu: %s", i, error);
        } else {
            cr_assert(kernel, "row %zu: %s", i, error);
        }
        free(error);
        arena_free(arena);
    }
}

Test(kernel, a_broken_kernel_in_memory_is_found)
{
    Bench t = open_bench();
    KInst *loop = kir_for(&t.b, t.begin, t.end, 1, NULL, 0);
    KInst *value = kir_load(&t.b, t.x, kir_loop_arg(loop, 0), 1, NULL);
    kir_store(&t.b, t.y, t.begin, value, NULL);
    kir_end_for(&t.b, loop, NULL);
    cr_assert(kernel_verify(t.kernel, NULL));
    t.kernel->body->insts.data[0]->src[0] = value; /* a value of the body as its own limit */
    cr_assert(!kernel_verify(t.kernel, NULL));
    t.kernel->body->insts.data[0]->src[0] = t.begin;
    value->id = loop->id;
    cr_assert(!kernel_verify(t.kernel, NULL));
    arena_free(t.arena);
}

Test(kernel, names_do_not_make_kernels_different)
{
    static const char *const texts[3] = {
        "kernel a (x: f32 read, y: f32 write) {\n  %0 = load x[%begin] : f32\n  store y[%begin], "
        "%0\n}\n",
        "kernel b (p: f32 read, q: f32 write) {\n  %0 = load p[%begin] : f32\n  store q[%begin], "
        "%0\n}\n",
        "kernel a (x: f32 read, y: f32 write) {\n  %0 = load x[%begin] : f32\n  store y[%end], "
        "%0\n}\n",
    };
    Arena *arena = arena_new();
    Kernel *kernels[3];
    for (int i = 0; i < 3; i++) {
        char *error;
        kernels[i] = kernel_read(arena, texts[i], &error);
        cr_assert(kernels[i]);
    }
    cr_assert(kernel_equal(kernels[0], kernels[1]) &&
              kernel_hash(kernels[0]) == kernel_hash(kernels[1]));
    cr_assert(!kernel_equal(kernels[0], kernels[2]) &&
              kernel_hash(kernels[0]) != kernel_hash(kernels[2]));
    arena_free(arena);
}
