/* Losses of 20 steps against PyTorch from the same weights on the same batches
 * (tests/reference/make_reference.py): in f64 to 1e-9 relative, in f32 to 1e-4 over the first
 * ten; by compiled code, and by the interpreter for the small ones. */
#include <criterion/criterion.h>
#include <math.h>
#include <nnc/nnc.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 20 };

typedef struct {
    double losses[STEPS];
    int count;
} Losses;

static void keep_loss(void *user, const nnc_event *event)
{
    Losses *losses = user;
    if (event->kind == NNC_EVENT_STEP && losses->count < STEPS)
        losses->losses[losses->count++] = event->loss;
}

static Losses expected_losses(const char *name, const char *precision)
{
    char path[512];
    Losses losses = {.count = 0};
    snprintf(path, sizeof path, NNC_SOURCE_DIR "/tests/reference/%s.%s.txt", name, precision);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    while (losses.count < STEPS && fscanf(file, "%lf", &losses.losses[losses.count]) == 1)
        losses.count++;
    fclose(file);
    cr_assert_eq(losses.count, STEPS);
    return losses;
}

static Losses run_losses(const char *name, bool f64, bool interpret, int steps)
{
    char path[512], weights[512], setting[32];
    const char *settings[] = {setting};
    Losses losses = {.count = 0};
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    snprintf(path, sizeof path, NNC_SOURCE_DIR "/tests/reference/%s.nn", name);
    snprintf(weights, sizeof weights, NNC_SOURCE_DIR "/tests/reference/%s.safetensors", name);
    snprintf(setting, sizeof setting, "train.steps=%d", steps);
    nnc_program_options options = {.size = sizeof options,
                                   .f64 = f64,
                                   .interpret = interpret,
                                   .settings = settings,
                                   .setting_count = 1};
    nnc_trainer_options training = {
        .size = sizeof training, .init = weights, .on_event = keep_loss, .user = &losses};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    nnc_status status = nnc_program_load(context, path, &options, &program);
    cr_assert_eq(status, NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    status = nnc_trainer_new(program, NULL, &training, &trainer);
    cr_assert_eq(status, NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    status = nnc_trainer_run(trainer);
    cr_assert_eq(status, NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    cr_assert_eq(losses.count, steps);
    return losses;
}

static void compare(const char *name, bool f64, bool interpret, int steps)
{
    Losses expected = expected_losses(name, f64 ? "f64" : "f32");
    Losses got = run_losses(name, f64, interpret, steps);
    double bound = f64 ? 1e-9 : 1e-4, worst = 0;
    for (int i = 0; i < steps && (f64 || i < 10); i++) {
        double distance = fabs(got.losses[i] - expected.losses[i]) / fabs(expected.losses[i]);
        worst = distance > worst ? distance : worst;
        cr_expect(distance <= bound, "%s step %d: %.17g, PyTorch has %.17g", name, i + 1,
                  got.losses[i], expected.losses[i]);
    }
    cr_log_info("%s %s %s: largest relative distance %.2e over %d steps", name, f64 ? "f64" : "f32",
                interpret ? "interpreter" : "compiled", worst, steps);
}

static void compare_all(const char *name, int interpreted_steps)
{
    compare(name, true, false, STEPS);
    compare(name, false, false, STEPS);
    compare(name, true, true, interpreted_steps);
    compare(name, false, true, interpreted_steps);
}

Test(reference, simple)
{
    compare_all("simple", STEPS);
}

Test(reference, binary)
{
    compare_all("binary", STEPS);
}

Test(reference, dense)
{
    compare_all("dense", STEPS);
}

Test(reference, cnn)
{
    compare_all("cnn", 2);
}
