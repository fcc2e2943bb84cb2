/* precision = bf16 and f16: losses of 20 steps near those of PyTorch's autocast from the same
 * weights on the same batches (tests/reference/make_precision.py), the same bits from the
 * interpreter, less memory for values, masters in f32, and a scale of the loss that changes
 * nothing but what is too small. */
#include <criterion/criterion.h>
#include <math.h>
#include <nnc/nnc.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 20, MOST_SETTINGS = 4 };

typedef struct {
    double losses[STEPS];
    int count;
    int64_t arena_bytes;
} Run;

static void keep_loss(void *user, const nnc_event *event)
{
    Run *run = user;
    if (event->kind == NNC_EVENT_STEP && run->count < STEPS)
        run->losses[run->count++] = event->loss;
    if (event->kind == NNC_EVENT_START)
        run->arena_bytes = event->arena_bytes;
}

static Run run_reference(const char *name, const char *const *settings, size_t count,
                         bool interpret)
{
    char path[512], weights[512];
    Run run = {.count = 0};
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    snprintf(path, sizeof path, NNC_SOURCE_DIR "/tests/reference/%s.nn", name);
    snprintf(weights, sizeof weights, NNC_SOURCE_DIR "/tests/reference/%s.safetensors", name);
    nnc_program_options options = {.size = sizeof options,
                                   .interpret = interpret,
                                   .settings = settings,
                                   .setting_count = count};
    nnc_trainer_options training = {
        .size = sizeof training, .init = weights, .on_event = keep_loss, .user = &run};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    cr_assert_eq(nnc_program_load(context, path, &options, &program), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_new(program, NULL, &training, &trainer), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_run(trainer), NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    return run;
}

static Run run_with(const char *name, const char *precision, bool interpret)
{
    char setting[64];
    const char *settings[] = {setting};
    snprintf(setting, sizeof setting, "train.precision=%s", precision);
    return run_reference(name, settings, 1, interpret);
}

/* The largest relative distance to the losses of PyTorch. */
static double distance_to_reference(const char *name, const char *precision, const Run *run)
{
    char path[512];
    double worst = 0, expected;
    snprintf(path, sizeof path, NNC_SOURCE_DIR "/tests/reference/%s.%s.txt", name, precision);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(run->count, STEPS);
    for (int i = 0; i < STEPS; i++) {
        cr_assert_eq(fscanf(file, "%lf", &expected), 1);
        double distance = fabs(run->losses[i] - expected) / expected;
        worst = distance > worst ? distance : worst;
    }
    fclose(file);
    cr_log_info("%s %s: largest relative distance %.2e", name, precision, worst);
    return worst;
}

Test(precision, dense_like_autocast)
{
    Run plain = run_with("dense", "f32", false), bf16 = run_with("dense", "bf16", false),
        f16 = run_with("dense", "f16", false);
    cr_expect_lt(distance_to_reference("dense", "f32", &plain), 1e-4);
    cr_expect_lt(distance_to_reference("dense", "bf16", &bf16), 1e-3);
    cr_expect_lt(distance_to_reference("dense", "f16", &f16), 2e-4);
    cr_expect_neq(bf16.losses[0], plain.losses[0], "rounding shows in the first loss");
    Run interpreted = run_with("dense", "bf16", true);
    cr_expect_arr_eq(interpreted.losses, bf16.losses, sizeof bf16.losses);
}

/* Values of a batch of 64 pictures are most of the memory. */
Test(precision, cnn_like_autocast_in_less_memory, .timeout = 300)
{
    Run plain = run_with("cnn", "f32", false), bf16 = run_with("cnn", "bf16", false);
    cr_expect_lt(distance_to_reference("cnn", "bf16", &bf16), 1e-2);
    cr_expect(bf16.arena_bytes > 0 && (double)bf16.arena_bytes < 0.85 * (double)plain.arena_bytes,
              "%lld bytes, %lld in f32", (long long)bf16.arena_bytes, (long long)plain.arena_bytes);
}

/* A power of two as scale is exact where nothing is too small; in f32 to the bit. */
Test(precision, a_scale_of_the_loss_is_taken_off_again)
{
    const char *plain[] = {"train.steps=20"}, *scaled[] = {"train.loss_scale=1024"},
               *half[] = {"train.precision=f16", "train.loss_scale=1024"};
    Run one = run_reference("dense", plain, 1, false),
        two = run_reference("dense", scaled, 1, false),
        three = run_reference("dense", half, 2, false);
    cr_expect_arr_eq(one.losses, two.losses, sizeof one.losses);
    cr_expect_lt(distance_to_reference("dense", "f16", &three), 2e-4);
}

/* Too large a scale: gradients are infinite, and the run ends before the weights are. */
Test(precision, an_overflow_ends_the_run)
{
    const char *settings[] = {"train.precision=f16", "train.loss_scale=1e9"};
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    nnc_program_options options = {
        .size = sizeof options, .settings = settings, .setting_count = 2};
    nnc_trainer_options training = {.size = sizeof training};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    cr_assert_eq(
        nnc_program_load(context, NNC_SOURCE_DIR "/tests/reference/dense.nn", &options, &program),
        NNC_OK);
    cr_assert_eq(nnc_trainer_new(program, NULL, &training, &trainer), NNC_OK);
    cr_expect_eq(nnc_trainer_run(trainer), NNC_DIVERGED);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}
