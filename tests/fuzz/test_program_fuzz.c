/* Whole random programs through the public API: what training makes of them must not depend on
 * the engine, and gradients must be what differences say. Programs come from
 * tests/support/random_program.h; every one is
 *
 *     trained    by the interpreter, by compiled code and by compiled code without fusion: the same losses and weights to the bit,
 *                with full batches and a short last one
 *     derived    (every third) in f64: one step of plain descent against central differences of the loss
 *
 * A program may be refused, but with a located error, and not often. On failure the seed and the
 * program are printed, made shorter by leaving out lines while it fails in the same way.
 *
 * NNC_PROGRAM_COUNT programs (default 40) from seed NNC_PROGRAM_SEED (default 1);
 * NNC_FUZZ_KEEP=FILE keeps the newest one. */
#include "runtime/base/strbuf.h"
#include "tests/support/api.h"
#include "tests/support/random_program.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBES = 24 };

typedef enum {
    AGREES,
    REFUSED,
    UNLOCATED,
    DIFFERS,
    NO_FUSE_DIFFERS,
    WRONG_GRADIENT,
    DIVERGED
} Outcome;

static const char *const outcome_texts[] = {"agrees",
                                            "is refused",
                                            "is refused without a place",
                                            "compiled code differs",
                                            "compiled code without fusion differs",
                                            "a gradient is wrong",
                                            "diverges"};

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void keep(const char *text)
{
    const char *name = getenv("NNC_FUZZ_KEEP");
    FILE *file = name ? fopen(name, "w") : NULL;
    if (file) {
        fputs(text, file);
        fclose(file);
    }
}

/* ---- engines ---- */

static bool is_located(const char *words)
{
    return strstr(words, "test.nn:") && strstr(words, "error[E");
}

static Outcome compare_engines(const char *text, char *words, size_t size)
{
    static const nnc_program_options ways[] = {{.size = sizeof *ways},
                                               {.size = sizeof *ways, .no_fuse = true}};
    nnc_program_options interpreter = {.size = sizeof interpreter, .interpret = true};
    nnc_context *context = api_context(1);
    ApiRun expected = api_try(context, text, &interpreter, 5);
    Outcome outcome = expected.status == NNC_OK         ? AGREES
                      : expected.status == NNC_DIVERGED ? DIVERGED
                                                        : REFUSED;
    snprintf(words, size, "%s", outcome != AGREES ? nnc_diagnostics(context, NNC_TEXT) : "");
    if (outcome == REFUSED && !is_located(words))
        outcome = UNLOCATED;
    for (int i = 0; i < 2 && outcome != REFUSED && outcome != UNLOCATED; i++) {
        ApiRun found = api_try(context, text, &ways[i], 5);
        if (!api_same(&expected, &found)) {
            snprintf(words, size, "status %d and %d, losses %.17g and %.17g\n%s", expected.status,
                     found.status, expected.losses[0], found.losses[0],
                     found.status ? nnc_diagnostics(context, NNC_TEXT) : "");
            outcome = i ? NO_FUSE_DIFFERS : DIFFERS;
        }
        api_free(&found);
        if (outcome >= DIFFERS && outcome != DIVERGED)
            break;
    }
    api_free(&expected);
    nnc_context_release(context);
    return outcome;
}

/* ---- gradients ---- */

static double loss_of(nnc_trainer *trainer)
{
    const nnc_metric *metrics = NULL;
    size_t count = 0;
    return nnc_trainer_evaluate(trainer, NNC_PART_TRAIN, &metrics, &count) == NNC_OK && count
               ? metrics[0].value
               : NAN;
}

/* Central and one-sided differences of the loss by *x; false where they say that there is a kink
 * or a jump nearby. */
static bool difference(nnc_trainer *trainer, double *x, double here, double *slope)
{
    const double old = *x, step = 1e-5;
    double at[4];
    for (int i = 0; i < 4; i++) {
        *x = old + step * (double[]){-1, 1, -0.25, 0.25}[i];
        at[i] = loss_of(trainer);
    }
    *x = old;
    double wide = (at[1] - at[0]) / (2 * step), narrow = (at[3] - at[2]) / (0.5 * step),
           low = (here - at[0]) / step, high = (at[1] - here) / step;
    double size = 1 + fabs(wide);
    *slope = narrow;
    return fabs(wide - narrow) < 1e-6 * size && fabs(high - low) < 2e-2 * size;
}

typedef struct {
    double *element, before, slope;
} Probe;

static int probes_of(nnc_trainer *trainer, nnc_model *model, Probe *probes)
{
    double here = loss_of(trainer);
    int count = 0;
    for (size_t i = 0; i < nnc_model_tensor_count(model); i++) {
        nnc_tensor *tensor = NULL;
        if (nnc_model_tensor(model, nnc_model_tensor_name(model, i), &tensor) != NNC_OK)
            continue;
        int64_t elements = nnc_tensor_elements(tensor);
        double *data = nnc_tensor_data(tensor);
        for (int64_t e = 0; e < elements && count < PROBES; e += 1 + elements / 3) {
            Probe *p = &probes[count];
            *p = (Probe){.element = &data[e], .before = data[e]};
            count += nnc_tensor_dtype(tensor) == NNC_F64 &&
                     difference(trainer, &data[e], here, &p->slope);
        }
        nnc_tensor_release(tensor);
    }
    return count;
}

static Outcome compare_gradient(const char *text, char *words, size_t size)
{
    nnc_program_options options = {.size = sizeof options, .interpret = true, .f64 = true};
    nnc_trainer_options how = {.size = sizeof how, .seed = 5};
    nnc_context *context = api_context(1);
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    nnc_model *model = NULL;
    Probe probes[PROBES];
    Outcome outcome = REFUSED;
    if (nnc_program_parse(context, "test.nn", text, &options, &program) == NNC_OK &&
        nnc_trainer_new(program, NULL, &how, &trainer) == NNC_OK &&
        nnc_trainer_model(trainer, &model) == NNC_OK) {
        int count = probes_of(trainer, model, probes);
        outcome = nnc_trainer_run(trainer) == NNC_OK ? AGREES : DIVERGED;
        for (int i = 0; i < count && outcome == AGREES; i++) {
            double gradient = probes[i].before - *probes[i].element;
            if (fabs(gradient - probes[i].slope) > 1e-5 * (1 + fabs(gradient))) {
                snprintf(words, size, "gradient %.12g, difference %.12g (probe %d)", gradient,
                         probes[i].slope, i);
                outcome = WRONG_GRADIENT;
            }
        }
    }
    if (outcome == REFUSED) {
        snprintf(words, size, "%s", nnc_diagnostics(context, NNC_TEXT));
        outcome = is_located(words) ? REFUSED : UNLOCATED;
    }
    nnc_model_release(model);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    return outcome;
}

/* ---- one program ---- */

static Outcome outcome_of(const char *text, bool gradient, char *words, size_t size)
{
    keep(text);
    return gradient ? compare_gradient(text, words, size) : compare_engines(text, words, size);
}

/* ---- a shorter program that fails in the same way ---- */

typedef struct {
    char *text;
    bool gradient, shorter;
    Outcome outcome;
} Shrink;

static char *line_after(char *at, int lines)
{
    for (; lines > 0 && *at; lines--)
        at = strchr(at, '\n') ? strchr(at, '\n') + 1 : at + strlen(at);
    return at;
}

/* Takes text without [a, b) and [c, d), if it still fails. */
static bool without(Shrink *s, char *a, char *b, char *c, char *d)
{
    StrBuf text = {0};
    char words[4000];
    strbuf_add_bytes(&text, s->text, (size_t)(a - s->text));
    strbuf_add_bytes(&text, b, (size_t)(c - b));
    strbuf_add(&text, d);
    bool fails =
        text.length > 0 && outcome_of(text.text, s->gradient, words, sizeof words) == s->outcome;
    if (fails)
        memcpy(s->text, text.text, text.length + 1);
    s->shorter |= fails;
    strbuf_free(&text);
    return fails;
}

/* The line that closes what this one opens. */
static char *closing_line(char *at)
{
    size_t indent = strspn(at, " ");
    char *close = line_after(at, 1);
    while (*close && (strspn(close, " ") > indent || close[indent] != '}'))
        close = line_after(close, 1);
    return close;
}

/* A block as a whole, its brackets alone, and the terms of a sum. */
static bool shorten_line(Shrink *s, char *at)
{
    char *end = line_after(at, 1), *close = end - at > 2 && end[-2] == '{' ? closing_line(at) : end;
    if (*close && close != end &&
        (without(s, at, end, close, line_after(close, 1)) ||
         without(s, at, at, at, line_after(close, 1))))
        return true;
    for (char *term = strstr(at, " + "); term && term < end; term = strstr(term + 3, " + ")) {
        char *next = strstr(term + 3, " + ");
        next = next && next < end ? next : end - 1;
        if (next > term && without(s, term, next, next, next))
            return true;
    }
    return false;
}

static void shrink(char *text, bool gradient, Outcome outcome)
{
    Shrink s = {.text = text, .gradient = gradient, .outcome = outcome, .shorter = true};
    while (s.shorter) {
        s.shorter = false;
        for (int length = 16; length > 0; length /= 2)
            for (char *at = text; *at;)
                if (!without(&s, at, line_after(at, length), line_after(at, length),
                             line_after(at, length)))
                    at = line_after(at, 1);
        for (char *at = text; *at;)
            if (!shorten_line(&s, at))
                at = line_after(at, 1);
    }
}

static Outcome try_seed(uint64_t seed)
{
    char words[4000] = "";
    Arena *arena = arena_new();
    RandomProgramOptions options = {.gradient = seed % 3 == 0, .statements = 6 + (int)(seed % 13)};
    char *text = random_program(arena, seed, &options);
    Outcome outcome = outcome_of(text, options.gradient, words, sizeof words);
    if (outcome == REFUSED)
        printf("fuzz: seed %llu is refused: %.*s\n", (unsigned long long)seed, 300, words);
    if (outcome != AGREES && outcome != REFUSED && outcome != DIVERGED) {
        char first[4000];
        memcpy(first, words, sizeof first);
        shrink(text, options.gradient, outcome);
        cr_expect(false, "seed %llu: %s: %s\nshortened:\n%s", (unsigned long long)seed,
                  outcome_texts[outcome], first, text);
    }
    arena_free(arena);
    return outcome;
}

Test(program_fuzz, engines_agree_and_gradients_are_right, .timeout = 100000)
{
    uint64_t first = setting("NNC_PROGRAM_SEED", 1), count = setting("NNC_PROGRAM_COUNT", 40),
             seen[DIVERGED + 1] = {0};
    for (uint64_t seed = first; seed < first + count; seed++)
        seen[try_seed(seed)]++;
    printf("fuzz: %llu programs agree, %llu are refused, %llu diverge\n",
           (unsigned long long)seen[AGREES], (unsigned long long)seen[REFUSED],
           (unsigned long long)seen[DIVERGED]);
    cr_expect(count < 20 || seen[REFUSED] * 20 < count, "%llu programs are refused",
              (unsigned long long)seen[REFUSED]);
    cr_expect(count < 20 || seen[DIVERGED] * 10 < count, "%llu programs diverge",
              (unsigned long long)seen[DIVERGED]);
}
