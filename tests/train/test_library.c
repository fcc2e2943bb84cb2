/* The library against PyTorch: activations, losses, optimizers, schedules and layers by the losses of 20 steps and of an evaluation,
 * metrics by their values; all in f64 to 1e-9 relative, and losses again in f32 to 1e-4. tests/reference/make_library.py wrote the numbers, one case a line:
 *
 *     dense loss_name=huber 0.2741 ...     dense.nn with -D loss_name="huber", weights of dense.safetensors
 *     layers which=conv 1.1032 ...         layers.nn with -D which="conv", weights of conv.safetensors */
#include <criterion/criterion.h>
#include <math.h>
#include <nnc/nnc.h>
#include <stdio.h>
#include <string.h>

#define FOLDER NNC_SOURCE_DIR "/tests/reference/library/"

enum { STEPS = 20, NUMBERS = 64 };

typedef struct {
    char kind[16], constant[64]; /* "layers", "which=conv" */
    double numbers[NUMBERS];
    int count;
    bool single; /* in f32 */
} Case;

typedef struct {
    double losses[STEPS], rates[STEPS];
    int steps;
    double test
        [NUMBERS]; /* metrics over the test rows; the elements of an array one after the other */
    int count;
} Seen;

static bool read_case(FILE *file, Case *c)
{
    if (fscanf(file, "%15s %63s", c->kind, c->constant) != 2)
        return false;
    for (c->count = 0; c->count < NUMBERS && fscanf(file, "%lf", &c->numbers[c->count]) == 1;)
        c->count++;
    return true;
}

static void keep_metrics(Seen *seen, const nnc_event *event)
{
    for (size_t i = 0; i < event->test_count; i++) {
        const nnc_metric *metric = &event->test[i];
        int64_t elements =
            metric->rank > 0 ? metric->sizes[0] * (metric->rank > 1 ? metric->sizes[1] : 1) : 1;
        const double *values = metric->rank > 0 ? metric->values : &metric->value;
        for (int64_t k = 0; k < elements && seen->count < NUMBERS; k++)
            seen->test[seen->count++] = values[k];
    }
}

static void keep(void *user, const nnc_event *event)
{
    Seen *seen = user;
    if (event->kind == NNC_EVENT_STEP && seen->steps < STEPS) {
        seen->losses[seen->steps] = event->loss;
        seen->rates[seen->steps++] = event->lr;
    }
    if (event->kind == NNC_EVENT_END)
        keep_metrics(seen, event);
}

/* Trains `block` of library/PROGRAM.nn with one constant replaced. */
static Seen run(const Case *c, const char *program_name, const char *block,
                const char *weights_name, bool interpret)
{
    char path[512], weights[512], define[96];
    const char *defines[] = {define};
    const char *value = strchr(c->constant, '=');
    Seen seen;
    memset(&seen, 0, sizeof seen);
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    snprintf(path, sizeof path, FOLDER "%s.nn", program_name);
    snprintf(weights, sizeof weights, FOLDER "%s.safetensors", weights_name);
    if (value)
        snprintf(define, sizeof define, "%.*s=\"%s\"", (int)(value - c->constant), c->constant,
                 value + 1);
    nnc_program_options options = {.size = sizeof options,
                                   .f64 = !c->single,
                                   .interpret = interpret,
                                   .defines = defines,
                                   .define_count = value != NULL};
    nnc_trainer_options training = {
        .size = sizeof training, .init = weights, .on_event = keep, .user = &seen};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    nnc_status status = nnc_program_load(context, path, &options, &program);
    cr_assert_eq(status, NNC_OK, "%s: %s", c->constant, nnc_diagnostics(context, NNC_TEXT));
    status = nnc_trainer_new(program, block, &training, &trainer);
    cr_assert_eq(status, NNC_OK, "%s: %s", c->constant, nnc_diagnostics(context, NNC_TEXT));
    status = nnc_trainer_run(trainer);
    cr_assert_eq(status, NNC_OK, "%s: %s", c->constant, nnc_diagnostics(context, NNC_TEXT));
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    return seen;
}

static void compare(const Case *c, int i, double got)
{
    double expected = c->numbers[i];
    cr_expect(fabs(got - expected) <= 1e-9 * fabs(expected),
              "%s %s, number %d: %.17g, PyTorch has %.17g", c->kind, c->constant, i + 1, got,
              expected);
}

static void expect_same_bits(const Case *c, const Seen *a, const Seen *b)
{
    cr_expect(a->steps == b->steps && memcmp(a->losses, b->losses, sizeof a->losses) == 0,
              "%s %s: the interpreter has other losses than compiled code", c->kind, c->constant);
    cr_expect(a->count == b->count &&
                  memcmp(a->test, b->test, (size_t)a->count * sizeof *a->test) == 0,
              "%s %s: the interpreter has other results than compiled code", c->kind, c->constant);
}

static const char *weights_of(const Case *c)
{
    return strcmp(c->kind, "dense") == 0 ? "dense" : strchr(c->constant, '=') + 1;
}

/* Compiled code against PyTorch, and the interpreter against compiled code to the bit. */
static void compare_losses(const Case *c, bool interpret)
{
    Seen seen = run(c, c->kind, "net", weights_of(c), false);
    if (interpret) {
        Seen other = run(c, c->kind, "net", weights_of(c), true);
        expect_same_bits(c, &seen, &other);
    }
    cr_assert_eq(c->count, STEPS + 1);
    cr_assert_eq(seen.steps, STEPS);
    cr_assert_eq(seen.count, 1);
    for (int i = 0; i < STEPS; i++)
        compare(c, i, seen.losses[i]);
    compare(c, STEPS, seen.test[0]);
}

/* In f32 rounding grows with the steps: ten of them, to 1e-4. */
static void compare_single(const Case *c, bool interpret)
{
    Case single = *c;
    single.single = true;
    Seen seen = run(&single, c->kind, "net", weights_of(c), interpret);
    cr_assert_eq(seen.steps, STEPS);
    for (int i = 0; i < STEPS / 2; i++)
        cr_expect(fabs(seen.losses[i] - c->numbers[i]) <= 1e-4 * fabs(c->numbers[i]),
                  "%s %s in f32, number %d: %.9g, PyTorch has %.9g", c->kind, c->constant, i + 1,
                  seen.losses[i], c->numbers[i]);
}

static void compare_rates(const Case *c, bool interpret)
{
    Seen seen = run(c, "dense", "net", "dense", interpret);
    cr_assert_eq(c->count, STEPS);
    cr_assert_eq(seen.steps, STEPS);
    for (int i = 0; i < STEPS; i++)
        compare(c, i, seen.rates[i]);
}

static void compare_metrics(const Case *c, bool interpret)
{
    Seen seen = run(c, "dense", "measured", "dense", interpret);
    cr_assert_eq(seen.count, c->count + 1, "the loss comes first: %d numbers", seen.count);
    for (int i = 0; i < c->count; i++)
        compare(c, i, seen.test[i + 1]);
}

/* Under the thread sanitizer, where checking a program takes ten times as long, every eighth case:
 * no layer has threads of its own. */
#if defined __SANITIZE_THREAD__
enum { CASE_STRIDE = 8 };
#else
enum { CASE_STRIDE = 1 };
#endif

static void compare_all(const char *kind, int cases, void (*of_case)(const Case *, bool),
                        bool interpret)
{
    FILE *file = fopen(FOLDER "expected.txt", "r");
    Case c = {.single = false};
    cr_assert_not_null(file);
    while (read_case(file, &c))
        if (strcmp(c.kind, kind) == 0) {
            cases--;
            if (cases % CASE_STRIDE == 0)
                of_case(&c, interpret);
        }
    fclose(file);
    cr_assert_eq(cases, 0, "%d cases of %s are missing", cases, kind);
}

Test(library, layers)
{
    compare_all("layers", 9, compare_losses, true);
}

Test(library, in_single_precision)
{
    static const char *const kinds[] = {"layers",    "convs",     "moments",
                                        "attention", "recurrent", "whole"};
    static const int counts[] = {9, 23, 13, 22, 8, 20};
    for (int i = 0; i < 6; i++)
        compare_all(kinds[i], counts[i], compare_single, false);
    compare_all("dense", 100, compare_single, true);
}

Test(library, convolutions_and_windows)
{
    compare_all("convs", 23, compare_losses, true);
}

Test(library, normalisation)
{
    compare_all("moments", 13, compare_losses, true);
}

Test(library, attention)
{
    compare_all("attention", 22, compare_losses, true);
}

Test(library, recurrence)
{
    compare_all("recurrent", 8, compare_losses, true);
}

Test(library, models)
{
    compare_all("whole", 20, compare_losses, true);
}

/* Hundreds of kernels each: compiled once. */
Test(library, deep_models)
{
    compare_all("deep", 4, compare_losses, true);
    compare_all("deep", 4, compare_single, true);
}

Test(library, activations_losses_and_optimizers)
{
    compare_all("dense", 100, compare_losses, true);
}

Test(library, rates)
{
    compare_all("rates", 14, compare_rates, true);
}

Test(library, metrics)
{
    compare_all("measured", 1, compare_metrics, false);
    compare_all("measured", 1, compare_metrics, true);
}
