/* Training against PyTorch: how weights are updated, steps written by hand, gradients as functions, recurrence. Losses of the
 * steps and what is measured at the end, in f64, to 1e-9 relative; tests/reference/make_training.py wrote the numbers, one
 * block of a program a line:
 *
 *     updates clip_norm ../library/dense 0.7732 ...     train clip_norm of updates.nn from dense.safetensors */
#include <criterion/criterion.h>
#include <math.h>
#include <nnc/nnc.h>
#include <stdio.h>
#include <string.h>

#define FOLDER NNC_SOURCE_DIR "/tests/reference/training/"

enum { NUMBERS = 64 };

typedef struct {
    char file[32], block[64], weights[64];
    double numbers[NUMBERS];
    int count;
} Case;

typedef struct {
    double numbers[NUMBERS];
    int count;
} Seen;

static bool read_case(FILE *file, Case *c)
{
    if (fscanf(file, "%31s %63s %63s", c->file, c->block, c->weights) != 3)
        return false;
    for (c->count = 0; c->count < NUMBERS && fscanf(file, "%lf", &c->numbers[c->count]) == 1;)
        c->count++;
    return true;
}

static void keep(void *user, const nnc_event *event)
{
    Seen *seen = user;
    if (event->kind == NNC_EVENT_STEP && seen->count < NUMBERS)
        seen->numbers[seen->count++] = event->loss;
    for (size_t i = 0; event->kind == NNC_EVENT_END && i < event->test_count && seen->count < NUMBERS; i++)
        seen->numbers[seen->count++] = event->test[i].value;
}

static Seen run(const Case *c, bool interpret)
{
    char path[512], weights[512];
    bool own = strcmp(c->weights, "-") == 0; /* the program says where its weights are */
    Seen seen = {.count = 0};
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    snprintf(path, sizeof path, FOLDER "%s.nn", c->file);
    snprintf(weights, sizeof weights, FOLDER "%s.safetensors", c->weights);
    nnc_program_options options = {.size = sizeof options, .f64 = true, .interpret = interpret};
    nnc_trainer_options training = {
        .size = sizeof training, .init = own ? NULL : weights, .on_event = keep, .user = &seen};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    nnc_status status = nnc_program_load(context, path, &options, &program);
    cr_assert_eq(status, NNC_OK, "%s: %s", c->block, nnc_diagnostics(context, NNC_TEXT));
    status = nnc_trainer_new(program, c->block, &training, &trainer);
    cr_assert_eq(status, NNC_OK, "%s: %s", c->block, nnc_diagnostics(context, NNC_TEXT));
    status = nnc_trainer_run(trainer);
    cr_assert_eq(status, NNC_OK, "%s: %s", c->block, nnc_diagnostics(context, NNC_TEXT));
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    return seen;
}

static void compare_all(const char *file_name, int cases, bool interpret)
{
    FILE *file = fopen(FOLDER "expected.txt", "r");
    Case c;
    cr_assert_not_null(file);
    while (read_case(file, &c)) {
        if (strcmp(c.file, file_name) != 0)
            continue;
        Seen seen = run(&c, interpret);
        cr_expect_eq(seen.count, c.count, "%s %s: %d numbers", c.file, c.block, seen.count);
        for (int i = 0; i < c.count && i < seen.count; i++)
            cr_expect(fabs(seen.numbers[i] - c.numbers[i]) <= 1e-9 * fabs(c.numbers[i]),
                      "%s %s, number %d: %.17g, PyTorch has %.17g", c.file, c.block, i + 1,
                      seen.numbers[i], c.numbers[i]);
        cases--;
    }
    fclose(file);
    cr_assert_eq(cases, 0, "%d cases of %s are missing", cases, file_name);
}

/* Summaries and pictures of a block without a model; a prediction it does not know. */
Test(training, tools_of_a_step_written_by_hand)
{
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    nnc_model *model = NULL;
    nnc_session *session = NULL;
    nnc_program_options options = {.size = sizeof options, .interpret = true};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    cr_assert_eq(nnc_program_load(context, FOLDER "steps.nn", &options, &program), NNC_OK);
    static const char *const what[] = {"summary", "dot"};
    for (int i = 0; i < 2; i++) {
        char *text = NULL;
        cr_assert_eq(nnc_program_text(program, "gan", what[i], &text), NNC_OK);
        cr_expect_not_null(strstr(text, "fc1"), "%s", text);
        nnc_free(text);
    }
    cr_assert_eq(nnc_model_load(program, "gan", NULL, &model), NNC_OK);
    cr_expect_eq(nnc_session_new(model, &session), NNC_PROGRAM);
    cr_expect_not_null(strstr(nnc_diagnostics(context, NNC_TEXT), "needs predict = ..."));
    nnc_model_release(model);
    nnc_program_release(program);
    nnc_context_release(context);
}

static void expect_no_load(const char *file, const char *wanted)
{
    char text[1024];
    snprintf(text, sizeof text,
             "from optim import sgd\n"
             "module Net { param w: f32[6, 5] = 0.0\n fn (x: f32[B, 5]) { sum(x @ transpose(w), axis=1) } }\n"
             "dataset rows { source = arrays(x=zeros(4, 5)) }\n"
             "train net on rows { model = load(Net(), \"%s\"); loss = model(x); optimizer = sgd() }\n",
             file);
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    nnc_program_options options = {.size = sizeof options, .interpret = true};
    nnc_trainer_options training = {.size = sizeof training};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    nnc_status status = nnc_program_parse(context, FOLDER "text.nn", text, &options, &program);
    cr_assert_eq(status, NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    cr_expect_eq(nnc_trainer_new(program, "net", &training, &trainer), NNC_DATA);
    const char *said = nnc_diagnostics(context, NNC_TEXT);
    cr_expect_not_null(strstr(said, wanted), "%s", said);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(training, weights_that_cannot_be_loaded)
{
    expect_no_load("nowhere.safetensors", "error[E0700]");
    expect_no_load("../library/dense.safetensors", "has no tensor w");
    expect_no_load("wrong.nn", "error[E070");
}

Test(training, updates)
{
    compare_all("updates", 10, false);
}

Test(training, updates_interpreted)
{
    compare_all("updates", 10, true);
}

Test(training, plateau)
{
    compare_all("plateau", 2, false);
}

Test(training, plateau_interpreted)
{
    compare_all("plateau", 2, true);
}

Test(training, steps_by_hand)
{
    compare_all("steps", 5, false);
}

Test(training, steps_by_hand_interpreted)
{
    compare_all("steps", 5, true);
}

Test(training, recurrence)
{
    compare_all("recurrent", 5, false);
}

Test(training, recurrence_interpreted)
{
    compare_all("recurrent", 5, true);
}
