/* The programs of examples/, the first steps of each as a user would run them: the mean loss of
 * the last five steps must be below a bound. The losses are the same on every machine, so the
 * bounds lie close above them; `make results` trains to the end. */
#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <nnc/nnc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LAST = 5 };

typedef struct {
    const char *name;
    int steps;
    double bound;
} Example;

static const Example examples[] = {
    {"simple", 60, 60},        {"binary", 60, 0.65},
    {"dense", 60, 0.65},       {"dense_cancer", 60, 0.3},
    {"iris", 60, 0.8},         {"mnist/small", 40, 0.9},
    {"mnist/cnn", 40, 0.63},   {"mnist/augmented", 40, 1.45},
    {"mnist/lenet", 30, 2.28}, {"gpt", 20, 3.74},
    {"lstm_text", 6, 3.6},     {"adding", 20, 0.3},
    {"transformer", 20, 2.46}, {"vae", 40, 260},
    {"gan", 20, 2.2},
};

typedef struct {
    nnc_trainer *trainer;
    int steps, wanted;
    double losses[LAST];
} Watch;

static void watch(void *user, const nnc_event *event)
{
    Watch *w = user;
    if (event->kind != NNC_EVENT_STEP)
        return;
    w->losses[w->steps++ % LAST] = event->loss;
    if (w->steps == w->wanted)
        nnc_trainer_stop(w->trainer);
}

static double mean_of_last(const Watch *w)
{
    double sum = 0;
    for (int i = 0; i < LAST; i++)
        sum += w->losses[i];
    return sum / LAST;
}

static Watch run_steps(const char *path, int steps, const char *init, const char *save,
                       const nnc_program_options *how)
{
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    Watch w = {.wanted = steps};
    nnc_trainer_options options = {.size = sizeof options,
                                   .init = init,
                                   .init_partial = init != NULL,
                                   .save = save,
                                   .on_event = watch,
                                   .user = &w};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    cr_assert_eq(nnc_program_load(context, path, how, &program), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_new(program, NULL, &options, &w.trainer), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    nnc_status status = nnc_trainer_run(w.trainer);
    cr_assert(status == NNC_OK || status == NNC_INTERRUPTED, "%s: %s", path,
              nnc_diagnostics(context, NNC_TEXT));
    cr_assert_geq(w.steps, steps, "%s has %d steps only", path, w.steps);
    nnc_trainer_release(w.trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    return w;
}

static double first_steps(const char *path, int steps, const char *init, const char *save)
{
    Watch w = run_steps(path, steps, init, save, NULL);
    return mean_of_last(&w);
}

Test(examples, losses_fall_as_they_should, .timeout = 1200)
{
    char path[512];
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        snprintf(path, sizeof path, NNC_SOURCE_DIR "/examples/%s.nn", examples[i].name);
        double loss = first_steps(path, examples[i].steps, NULL, NULL);
        cr_expect_lt(loss, examples[i].bound, "%s: %g after %d steps", examples[i].name, loss,
                     examples[i].steps);
    }
}

/* Two steps of three rows, whose activations the interpreter makes one by one. */
Test(examples, the_interpreter_has_the_same_losses, .timeout = 1200)
{
    static const char *const settings[] = {"train.batch=3"};
    nnc_program_options how = {
        .size = sizeof how, .settings = settings, .setting_count = 1};
    char path[512];
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        snprintf(path, sizeof path, NNC_SOURCE_DIR "/examples/%s.nn", examples[i].name);
        how.interpret = false;
        Watch compiled = run_steps(path, 2, NULL, NULL, &how);
        how.interpret = true;
        Watch interpreted = run_steps(path, 2, NULL, NULL, &how);
        for (int step = 0; step < 2; step++)
            cr_expect_eq(compiled.losses[step], interpreted.losses[step], "%s, step %d: %a and %a",
                         examples[i].name, step + 1, compiled.losses[step],
                         interpreted.losses[step]);
    }
}

static void copy_program(const char *folder, const char *name)
{
    char from[512], to[512];
    size_t length;
    snprintf(from, sizeof from, NNC_SOURCE_DIR "/examples/%s", name);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    char *text = files_read(from, &length);
    cr_assert_not_null(text);
    files_write(to, text, length);
    free(text);
}

/* lora.nn goes on from the weights and the tokenizer of gpt.nn. */
Test(examples, a_gpt_is_adapted, .timeout = 600)
{
    char *folder = files_folder();
    char path[512], weights[512], data[512];
    copy_program(folder, "gpt.nn");
    copy_program(folder, "lora.nn");
    snprintf(data, sizeof data, "%s/data", folder);
    cr_assert_eq(symlink(NNC_SOURCE_DIR "/examples/data", data), 0);
    snprintf(weights, sizeof weights, "%s/gpt.safetensors", folder);
    snprintf(path, sizeof path, "%s/gpt.nn", folder);
    first_steps(path, 20, NULL, weights);
    snprintf(path, sizeof path, "%s/lora.nn", folder);
    double begin = first_steps(path, LAST, weights, NULL),
           end = first_steps(path, 25, weights, NULL);
    cr_expect_lt(end, begin - 0.01, "%g, and %g at the beginning", end, begin);
    unlink(data);
    files_remove(folder);
}
