/* Loops and branches in the schedule and in compiled code: values computed by hand, where carries
 * and stacks lie, what the checkers find in schedules and programs that are wrong on purpose. That
 * the bits are those of the interpreter is the business of tests/fuzz/test_differential.c. */
#include "compiler/jit/aot.h"
#include "runtime/train/pool.h"
#include "tests/support/compiled.h"
#include "tests/support/golden.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Graph *read_lines(Arena *arena, const char *lines)
{
    char *error = NULL;
    Graph *graph = graph_read(arena, dim_table_new(arena),
                              arena_format(arena, "graph t {\n%s}\n", lines), &error);
    cr_assert(graph != NULL, "%s", error);
    return graph;
}

/* ---- values ---- */

typedef struct {
    const char *name;
    const void *data;
} Given;

static const void *given_leaf(void *user, const Node *leaf)
{
    const Given *given = user;
    while (given->name != NULL && strcmp(given->name, leaf->attr.leaf.name) != 0) {
        given++;
    }
    return given->data;
}

/* Runs with T = 4 and B = 2, every way there is, and hands the first root to `check`. */
static void run_lines(const char *lines, const Given *given,
                      void (*check)(const void *const *values))
{
    for (int way = 0; way < 8; way++) {
        Arena *arena = arena_new();
        Graph *graph = read_lines(arena, lines);
        LowerOptions lower = {0};
        ScheduleOptions schedule = {.fuse = way & 1,
                                    .plan = way & 2,
                                    .stress_seed = way & 4 ? 9 : 0,
                                    .scratch = lower_contract_scratch,
                                    .scratch_user = &lower};
        Compiled c;
        char *error = NULL;
        int64_t symbols[8];
        const void *values[8];
        for (uint32_t i = 0; i < dim_symbol_count(graph->dims); i++) {
            symbols[i] = strcmp(dim_symbol_name(graph->dims, i), "T") == 0 ? 4 : 2;
        }
        cr_assert(compiled_open(&c, arena, graph, &schedule, &lower, &error), "%s", error);
        CompiledCall call = {symbols, given_leaf, (void *)given, 0, 0, 1};
        cr_assert(compiled_run(&c, &call, values));
        check(values);
        compiled_close(&c);
        arena_free(arena);
    }
}

static const float four_rows[] = {1, 10, 2, 20, 3, 30, 4, 40};

static void check_sums(const void *const *values)
{
    const float sums[] = {10, 100, 9, 90, 7, 70, 4, 40}, last[] = {10, 100};
    cr_expect_arr_eq(values[0], sums, sizeof sums);
    cr_expect_arr_eq(values[1], last, sizeof last);
}

Test(loops, running_sums_backwards)
{
    run_lines("  %0 = input {x} : f32[T, B]\n"
              "  %1 = const {0} : f32[B]\n"
              "  %2 = carry {0, 0} : f32[B]\n"
              "  %3 = at %0 {0} : f32[B]\n"
              "  %4 = add %2 %3 : f32[B]\n"
              "  %5 = loop %1 %4 {0, length = T, reverse} : bool\n"
              "  %6 = stack %5 %4 : f32[T, B]\n"
              "  %7 = final %5 {0} : f32[B]\n"
              "  output y = %6\n"
              "  output last = %7\n",
              (Given[]){{"x", four_rows}, {NULL, NULL}}, check_sums);
}

static void check_fibonacci(const void *const *values)
{
    const int64_t seen[] = {1, 1, 2, 3};
    cr_expect_arr_eq(values[0], seen, sizeof seen);
    cr_expect_eq(*(const int64_t *)values[1], 5);
}

/* Each carry becomes what needs the other one. */
Test(loops, carries_that_change_places)
{
    const int64_t one = 1;
    run_lines("  %0 = input {one} : i64\n"
              "  %1 = carry {0, 0} : i64\n"
              "  %2 = carry {0, 1} : i64\n"
              "  %3 = add %1 %2 : i64\n"
              "  %4 = loop %0 %0 %2 %3 {0, length = T} : bool\n"
              "  %5 = stack %4 %1 : i64[T]\n"
              "  %6 = final %4 {0} : i64\n"
              "  output seen = %5\n"
              "  output next = %6\n",
              (Given[]){{"one", &one}, {NULL, NULL}}, check_fibonacci);
}

static void check_until(const void *const *values)
{
    const int64_t seen[] = {3, 6, 0, 0};
    cr_expect_arr_eq(values[0], seen, sizeof seen);
    cr_expect_eq(*(const int64_t *)values[1], 12);
    cr_expect_eq(*(const int64_t *)values[2], 24);
}

/* Doubles while below ten, with a bound (the rest of the stack is zero) and without one. */
Test(loops, conditions)
{
    const int64_t three = 3, ten = 10, twenty = 20;
    run_lines("  %0 = input {three} : i64\n"
              "  %1 = input {ten} : i64\n"
              "  %2 = lt %0 %1 : bool\n"
              "  %3 = carry {0, 1} : i64\n"
              "  %4 = add %3 %3 : i64\n"
              "  %5 = lt %4 %1 : bool\n"
              "  %6 = loop %2 %0 %5 %4 {0, length = T, conditional} : bool\n"
              "  %7 = stack %6 %3 : i64[T]\n"
              "  %8 = final %6 {1} : i64\n"
              "  %9 = input {twenty} : i64\n"
              "  %10 = carry {1, 1} : i64\n"
              "  %11 = add %10 %10 : i64\n"
              "  %12 = lt %11 %9 : bool\n"
              "  %13 = loop %2 %0 %12 %11 {1, length = 4611686018427387904, conditional} : bool\n"
              "  %14 = final %13 {1} : i64\n"
              "  output seen = %7\n"
              "  output end = %8\n"
              "  output free = %14\n",
              (Given[]){{"three", &three}, {"ten", &ten}, {"twenty", &twenty}, {NULL, NULL}},
              check_until);
}

static void check_table(const void *const *values)
{
    const float *table = values[0];
    for (int t = 0; t < 4; t++) {
        for (int u = 0; u < 4; u++) {
            float product = four_rows[2 * t] * four_rows[2 * u];
            cr_expect_float_eq(table[(4 * t + u) * 2], u % 2 ? product : -product, 0);
        }
    }
}

/* A branch in a loop in a loop: x[t] * x[u], of which every other one changes its sign. */
Test(loops, nested)
{
    const uint8_t odd[] = {0, 1, 0, 1};
    run_lines("  %0 = input {x} : f32[T, B]\n"
              "  %1 = input {odd} : bool[T]\n"
              "  %2 = at %0 {0} : f32[B]\n"
              "  %3 = at %0 {1} : f32[B]\n"
              "  %4 = at %1 {1} : bool\n"
              "  %5 = mul %2 %3 : f32[B]\n"
              "  %6 = enter %5 {2, then} : f32[B]\n"
              "  %7 = enter %5 {2, else} : f32[B]\n"
              "  %8 = neg %7 : f32[B]\n"
              "  %9 = branch %4 %6 %8 {2} : bool\n"
              "  %10 = final %9 {0} : f32[B]\n"
              "  %11 = loop {1, length = T} : bool\n"
              "  %12 = stack %11 %10 : f32[T, B]\n"
              "  %13 = loop {0, length = T} : bool\n"
              "  %14 = stack %13 %12 : f32[T, T, B]\n"
              "  output table = %14\n",
              (Given[]){{"x", four_rows}, {"odd", odd}, {NULL, NULL}}, check_table);
}

static void check_updates(const void *const *values)
{
    const float w[] = {0, 0, 1, 10, 3, 30, 6, 60}, v[] = {10, 100};
    cr_expect_arr_eq(values[0], w, sizeof w);
    cr_expect_arr_eq(values[1], v, sizeof v);
}

/* A loop reads what is written over after it. */
Test(loops, updates_wait_for_loops)
{
    const float zero[] = {0, 0};
    run_lines("  %0 = param {w} : f32[T, B]\n"
              "  %1 = param {v} : f32[B]\n"
              "  %2 = carry {0, 0} : f32[B]\n"
              "  %3 = at %0 {0} : f32[B]\n"
              "  %4 = add %2 %3 : f32[B]\n"
              "  %5 = loop %1 %4 {0, length = T} : bool\n"
              "  %6 = stack %5 %2 : f32[T, B]\n"
              "  %7 = final %5 {0} : f32[B]\n"
              "  update w = %6\n"
              "  update v = %7\n",
              (Given[]){{"w", four_rows}, {"v", zero}, {NULL, NULL}}, check_updates);
}

/* ---- threads ---- */

enum { STEPS = 3, ROWS = 5, WIDTH = 30011 };

static void run_threads(Compiled *c, int threads, const float *x, float *y)
{
    int64_t bytes = c->plan(NULL, c->table);
    Pool *pool = pool_new(threads, false);
    char *arena = aligned_alloc(64, (size_t)bytes + 64);
    nnc_call call = {.table = c->table,
                     .buffers = (void *[]){(void *)x, y},
                     .arena = arena,
                     .parallel = pool_run,
                     .pool = pool,
                     .failures = c->failures};
    cr_assert(pool != NULL && arena != NULL);
    c->step(&call);
    free(arena);
    pool_free(pool);
}

Test(loops, threads_give_the_same_bits)
{
    Arena *arena = arena_new();
    Graph *graph = read_lines(arena, "  %0 = input {x} : f32[3, 5, 30011]\n"
                                     "  %1 = const {0.5} : f32[5, 30011]\n"
                                     "  %2 = carry {0, 0} : f32[5, 30011]\n"
                                     "  %3 = at %0 {0} : f32[5, 30011]\n"
                                     "  %4 = mul %2 %3 : f32[5, 30011]\n"
                                     "  %5 = tanh %4 : f32[5, 30011]\n"
                                     "  %6 = cumsum %5 {1} : f32[5, 30011]\n"
                                     "  %7 = loop %1 %6 {0, length = 3} : bool\n"
                                     "  %8 = stack %7 %6 : f32[3, 5, 30011]\n"
                                     "  output y = %8\n");
    size_t count = STEPS * ROWS * WIDTH;
    float *x = malloc(count * sizeof *x), *y = malloc(2 * count * sizeof *y);
    Compiled c;
    char *error = NULL;
    ScheduleOptions schedule = {.fuse = true, .plan = true};
    cr_assert(x != NULL && y != NULL);
    cr_assert(compiled_open(&c, arena, graph, &schedule, &(LowerOptions){0}, &error), "%s", error);
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)((int)(i * 37 % 101) - 50) / 41;
    }
    for (int threads = 1; threads <= 8; threads++) {
        run_threads(&c, threads, x, threads == 1 ? y : y + count);
        cr_expect(threads == 1 || memcmp(y, y + count, count * sizeof *y) == 0, "%d threads",
                  threads);
    }
    compiled_close(&c);
    free(x);
    free(y);
    arena_free(arena);
}

/* ---- the checkers ---- */

/* A value from outside, a carry, a stack and a value of an iteration, which all live together. */
static const char *const together = "  %0 = input {x} : f32[T, 8]\n"
                                    "  %1 = input {z} : f32[8]\n"
                                    "  %2 = cumsum %1 {0} : f32[8]\n"
                                    "  %3 = carry {0, 0} : f32[8]\n"
                                    "  %4 = at %0 {0} : f32[8]\n"
                                    "  %5 = add %3 %4 : f32[8]\n"
                                    "  %6 = cumsum %5 {0} : f32[8]\n"
                                    "  %7 = mul %6 %2 : f32[8]\n"
                                    "  %8 = cumsum %7 {0} : f32[8]\n"
                                    "  %9 = add %8 %3 : f32[8]\n"
                                    "  %10 = loop %1 %9 {0, length = T} : bool\n"
                                    "  %11 = stack %10 %5 : f32[T, 8]\n"
                                    "  %12 = sum %11 {0, 1} : f32\n"
                                    "  %13 = final %10 {0} : f32[8]\n"
                                    "  %14 = sum %13 {0} : f32\n"
                                    "  %15 = add %12 %14 : f32\n"
                                    "  output y = %15\n";

static Schedule *schedule_of(Arena *arena, const char *lines)
{
    return schedule_build(arena, read_lines(arena, lines),
                          &(ScheduleOptions){.fuse = true, .plan = true});
}

static bool plan_is_sound(const Schedule *s)
{
    StrBuf faults = {0};
    bool sound = plan_check(s, s->hints, &faults);
    cr_expect(sound == (faults.length == 0));
    strbuf_free(&faults);
    return sound;
}

static bool order_is_sound(const Schedule *s)
{
    StrBuf faults = {0};
    bool sound = schedule_verify(s, &faults);
    cr_expect(sound == (faults.length == 0));
    strbuf_free(&faults);
    return sound;
}

Test(loops, what_lives_through_a_loop_is_not_written_over)
{
    Arena *arena = arena_new();
    Schedule *s = schedule_of(arena, together);
    int moved = 0;
    cr_assert(plan_is_sound(s));
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        Buffer *buffer = &s->buffers.data[i];
        uint32_t kept = buffer->below.count;
        buffer->below.count = 0;
        bool moves = kept > 0 && buffer->kind == STORAGE_ARENA && strcmp(buffer->name, "sum") != 0;
        cr_expect(!moves || !plan_is_sound(s), "%s at the bottom", buffer->name);
        moved += moves;
        buffer->below.count = kept;
    }
    cr_expect_geq(moved, 3);
    arena_free(arena);
}

Test(loops, groups_on_the_wrong_side_are_found)
{
    Arena *arena = arena_new();
    Schedule *s = schedule_of(arena, together);
    ScheduleRegion *loop = &s->regions.data[1];
    cr_assert(order_is_sound(s) && loop->last > loop->first);
    loop->first++;
    cr_expect(!order_is_sound(s));
    loop->first--;
    loop->last--;
    cr_expect(!order_is_sound(s));
    loop->last++;
    Group *first = s->groups.data[loop->first];
    s->groups.data[loop->first] = s->groups.data[loop->last];
    s->groups.data[loop->last] = first;
    cr_expect(!order_is_sound(s));
    arena_free(arena);
}

/* c' = c + reverse(c): written over c it would read what it has written. */
Test(loops, a_carry_that_reads_other_elements_is_copied)
{
    Arena *arena = arena_new();
    Schedule *s = schedule_of(arena, "  %0 = input {z} : f32[8]\n"
                                     "  %1 = carry {0, 0} : f32[8]\n"
                                     "  %2 = reverse %1 {0} : f32[8]\n"
                                     "  %3 = add %1 %2 : f32[8]\n"
                                     "  %4 = loop %0 %3 {0, length = T} : bool\n"
                                     "  %5 = final %4 {0} : f32[8]\n"
                                     "  %6 = exp %5 : f32[8]\n"
                                     "  output y = %6\n");
    cr_assert_eq(s->regions.data[1].last - s->regions.data[1].first, 1);
    Group *add = s->groups.data[s->regions.data[1].first],
          *copy = s->groups.data[s->regions.data[1].last];
    cr_assert(copy->copy_from == add->outputs.data[0].buffer);
    cr_expect(plan_is_sound(s));
    add->outputs.data[0].buffer = copy->outputs.data[0].buffer;
    cr_expect(!plan_is_sound(s));
    arena_free(arena);
}

static bool program_is_sound(const KProgram *program)
{
    StrBuf faults = {0};
    bool sound = kprogram_verify(program, &faults);
    cr_expect(sound == (faults.length == 0));
    strbuf_free(&faults);
    return sound;
}

Test(loops, programs_that_do_not_fit_are_found)
{
    Arena *arena = arena_new();
    KProgram *p =
        lower_program(arena, schedule_of(arena, together), &(LowerOptions){0}, "t").program;
    cr_assert(program_is_sound(p) && p->regions.count == 1);
    KRegion kept = p->regions.data[0];
    p->regions.data[0].first = kept.last - 1;
    cr_expect(!program_is_sound(p)); /* a slice is used outside */
    p->regions.data[0] = kept;
    p->regions.data[0].last = p->launches.count + 1;
    cr_expect(!program_is_sound(p));
    p->regions.data[0] = kept;
    p->regions.data[0].count_slot = p->table_size;
    cr_expect(!program_is_sound(p));
    p->regions.data[0] = kept;
    p->regions.data[0].kind = KREGION_THEN;
    cr_expect(!program_is_sound(p));
    p->regions.data[0] = kept;
    p->launches.data[0].args.count--;
    cr_expect(!program_is_sound(p));
    arena_free(arena);
}

/* The weight w is packed before the loop; the carry that is a weight, too, in every iteration. */
Test(loops, weights_are_packed_once)
{
    Arena *arena = arena_new();
    LowerOptions lower = {0};
    ScheduleOptions options = {
        .fuse = true, .plan = true, .scratch = lower_contract_scratch, .scratch_user = &lower};
    const char *lines = "  %0 = input {x} : f32[B, 64]\n"
                        "  %1 = param {w} : f32[64, 64]\n"
                        "  %2 = carry {0, 0} : f32[64, 64]\n"
                        "  %3 = dot %0 %2 {contract = 1:1} : f32[B, 64]\n"
                        "  %4 = dot %3 %1 {contract = 1:1} : f32[B, 64]\n"
                        "  %5 = dot %4 %4 {contract = 0:0} : f32[64, 64]\n"
                        "  %6 = loop %1 %5 {0, length = T} : bool\n"
                        "  %7 = final %6 {0} : f32[64, 64]\n"
                        "  output y = %7\n";
    Schedule *s = schedule_build(arena, read_lines(arena, lines), &options);
    int before = 0, within = 0;
    for (uint32_t g = 0; g < s->groups.count; g++) {
        Group *group = s->groups.data[g];
        before += group->hoisted == 1;
        if (group->packed == NO_BUFFER || group->hoisted != NO_REGION) {
            continue;
        }
        within++;
        group->hoisted = 1;
        cr_expect(!order_is_sound(s), "group %d packs what changes", (int)g);
        group->hoisted = NO_REGION;
    }
    cr_expect(before == 1 && within >= 1);
    KProgram *p = lower_program(arena, s, &lower, "t").program;
    const Launch *last = &p->launches.data[p->regions.data[0].first - 1];
    cr_expect(strstr(p->kernels.data[last->kernel]->name, "pack") != NULL);
    arena_free(arena);
}

/* ---- ahead of time ---- */

static const char app[] = "#include \"net.h\"\n#include <stdio.h>\n#include <stdlib.h>\n"
                          "int main(void) {\n"
                          "    static float x[8] = {1, 10, 2, 20, 3, 30, 4, 40}, seen[8];\n"
                          "    void *space = malloc((size_t)net_workspace(4, 2) + 1);\n"
                          "    if (net_forward(4, 2, x, seen, (char *)space)) return 1;\n"
                          "    printf(\"%g %g %g\\n\", seen[0], seen[6], seen[7]);\n"
                          "    free(space);\n"
                          "    return 0;\n}\n";

Test(loops, ahead_of_time)
{
    Arena *arena = arena_new();
    char folder[] = "/tmp/nnc_loops_XXXXXX", *error = NULL, found[64] = {0};
    cr_assert(mkdtemp(folder));
    Schedule *s = schedule_of(arena, "  %0 = input {x} : f32[T, B]\n"
                                     "  %1 = const {1} : f32[B]\n"
                                     "  %2 = carry {0, 0} : f32[B]\n"
                                     "  %3 = at %0 {0} : f32[B]\n"
                                     "  %4 = mul %2 %3 : f32[B]\n"
                                     "  %5 = loop %1 %4 {0, length = T} : bool\n"
                                     "  %6 = stack %5 %4 : f32[T, B]\n"
                                     "  output seen = %6\n");
    KProgram *program = lower_program(arena, s, &(LowerOptions){0}, "net").program;
    cr_assert(aot_write(program, &(AotOptions){.name = "net"},
                        arena_format(arena, "%s/net.o", folder),
                        arena_format(arena, "%s/net.h", folder), &error),
              "%s", error);
    FILE *source = fopen(arena_format(arena, "%s/app.c", folder), "w");
    cr_assert(source);
    fputs(app, source);
    fclose(source);
    const char *command = arena_format(
        arena, "cd %s && cc -std=c99 -Wall -Wextra -Werror -o app app.c net.o -lm && ./app",
        folder);
    FILE *out = popen(command, "r");
    cr_assert(out && fgets(found, sizeof found, out), "%s", command);
    pclose(out);
    cr_expect_str_eq(found, "1 24 240000\n");
    cr_expect_eq(system(arena_format(arena, "rm -r %s", folder)), 0);
    arena_free(arena);
}
