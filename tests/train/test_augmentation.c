/* Rows that a loader makes: random numbers by (seed, epoch, row), whatever the batch, the threads,
 * the engine or where a run goes on; evaluation leaves rows alone; what goes wrong with a row is
 * said and hangs nothing; and the changes of pictures of the library.
 *
 * What training saw is read from a param: with loss = sum(w[id] * image) and sgd(lr=1), w[id] is
 * minus the sum over the epochs of the pictures that row id was. */
#include "tests/support/api.h"
#include "tests/support/resume.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS = 40, SIDE = 4, PIXELS = SIDE * SIDE, VALUES = ROWS * PIXELS };

/* Rows 0 .. 39 of pictures 100 * row + 1 .. 16, each changed by `change` where `when`. */
static const char form[] =
    "from optim import sgd\n"
    "from image import random_flip, random_flip_vertical, random_crop, cutout, random_erase\n"
    "from image import random_brightness, random_contrast, random_noise, random_affine\n"
    "from image import random_rotate, sample_at, mixup\n"
    "module Seen {\n"
    "    param w: f32[40, 1, 4, 4] = 0\n"
    "    fn (x: f32[B, 1, 4, 4], id: i32[B]) { sum(take(w, id) * x) }\n"
    "}\n"
    "dataset d {\n"
    "    source = arrays(x=reshape(100.0 * f32(reshape(arange(40), 40, 1)) + 1.0 + "
    "f32(arange(16)), 40, 1, 4, 4),\n"
    "                    id=arange(40))\n"
    "    %s\n"
    "    fn map(x, id) -> (f32[1, 4, 4], i32) {\n"
    "        let y = x\n"
    "        %s { y = %s }\n"
    "        (y, id)\n"
    "    }\n"
    "}\n"
    "train t on d {\n"
    "    model = Seen()\n"
    "    loss = model(x, id)\n"
    "    optimizer = sgd(lr=1.0)\n"
    "    predict = x\n"
    "    %s\n"
    "}\n";

static const char *program_of(const char *change, const char *when, const char *data,
                              const char *train)
{
    static char text[4096];
    const char *settings = *train ? train : "batch = 40";
    snprintf(text, sizeof text, form, data, when, change, settings);
    return text;
}

typedef struct {
    float seen[VALUES];
    nnc_status status;
    double valid;
    char said[4096];
} Seen;

typedef struct {
    const char *settings[4];
    int threads, loader_threads;
    bool interpret;
    uint64_t seed;
} How;

static void note_valid(void *user, const nnc_event *event)
{
    if (event->kind == NNC_EVENT_EPOCH && event->valid_count > 0)
        ((Seen *)user)->valid = event->valid[0].value;
}

static float twice(float x)
{
    return 2 * x;
}

/* Trains the text and reads w. */
static void train(const char *text, const How *how, Seen *seen)
{
    nnc_context *context = api_context(how->threads ? how->threads : 1);
    nnc_program_options options = {
        .size = sizeof options, .settings = how->settings, .interpret = how->interpret};
    while (options.setting_count < 4 && how->settings[options.setting_count])
        options.setting_count++;
    nnc_context_extern(context, "twice", (void (*)(void))twice, "f32(f32)");
    nnc_program *program = api_parse(context, text, &options);
    nnc_trainer_options run = {.size = sizeof run,
                               .seed = how->seed,
                               .loader_threads = how->loader_threads,
                               .on_event = note_valid,
                               .user = seen};
    nnc_trainer *trainer;
    nnc_model *model;
    nnc_tensor *w;
    memset(seen, 0, sizeof *seen);
    cr_assert_eq(nnc_trainer_new(program, NULL, &run, &trainer), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    seen->status = nnc_trainer_run(trainer);
    snprintf(seen->said, sizeof seen->said, "%s", nnc_diagnostics(context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_model(trainer, &model), NNC_OK);
    cr_assert_eq(nnc_model_tensor(model, "w", &w), NNC_OK);
    memcpy(seen->seen, nnc_tensor_data(w), sizeof seen->seen);
    for (int i = 0; i < VALUES; i++)
        seen->seen[i] = -seen->seen[i];
    nnc_tensor_release(w);
    nnc_model_release(model);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}

static float original(int row, int pixel)
{
    return (float)(100 * row + 1 + pixel);
}

/* ---- The same rows, however they are made ---- */

static const char all_changes[] = "y |> random_flip |> random_crop(4, 4, pad=1) |> "
                                  "random_noise(0.5) |> random_affine(degrees=10.0)";

static bool same(const Seen *a, const Seen *b)
{
    return a->status == NNC_OK && b->status == NNC_OK &&
           memcmp(a->seen, b->seen, sizeof a->seen) == 0;
}

Test(augmentation, rows_are_the_same_however_they_are_made)
{
    static const How ways[] = {
        {.loader_threads = 1},
        {.loader_threads = 4},
        {.loader_threads = 2, .settings = {"train.prefetch=1"}},
        {.loader_threads = 3, .settings = {"train.prefetch=9", "train.batch=3"}},
        {.loader_threads = 1, .settings = {"train.batch=1"}},
        {.loader_threads = -1, .settings = {"train.batch=7"}},
        {.loader_threads = 2, .settings = {"train.batch=7", "train.shuffle=false"}},
        {.loader_threads = 2, .settings = {"train.batch=8"}, .interpret = true},
        {.loader_threads = 2, .threads = 3, .settings = {"train.batch=16"}},
    };
    static Seen first, other;
    const char *text = program_of(all_changes, "if training", "", "");
    train(text, &(How){.loader_threads = -1}, &first);
    cr_assert_eq(first.status, NNC_OK, "%s", first.said);
    cr_assert_neq(first.seen[0], 0);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        train(text, &ways[i], &other);
        cr_expect(same(&first, &other), "way %zu", i);
    }
    train(text, &(How){.seed = 5}, &other);
    cr_expect(!same(&first, &other), "another seed draws other numbers");
}

Test(augmentation, accumulated_batches_see_the_same_rows)
{
    static Seen one, many;
    const char *text =
        program_of(all_changes, "if training", "", "batch = 40\n    drop_last = true");
    train(text, &(How){.loader_threads = 2, .settings = {"train.shuffle=false"}}, &one);
    train(text,
          &(How){.loader_threads = 2,
                 .settings = {"train.batch=5", "train.accumulate=8", "train.shuffle=false"}},
          &many);
    /* the gradient is the mean over eight batches, each of which has an eighth of the rows */
    for (int i = 0; i < VALUES; i++)
        cr_assert_float_eq(8 * many.seen[i], one.seen[i], 1e-3 * (1 + fabs(one.seen[i])));
}

Test(augmentation, every_epoch_draws_again)
{
    static Seen one, two;
    const char *text = program_of("random_flip(y)", "if training", "", "");
    int other = 0, flips = 0;
    train(text, &(How){0}, &one);
    train(text, &(How){.settings = {"train.epochs=2"}}, &two);
    for (int row = 0; row < ROWS; row++) {
        float first = one.seen[row * PIXELS], second = two.seen[row * PIXELS] - first;
        bool flipped = first == original(row, SIDE - 1);
        cr_expect(flipped || first == original(row, 0));
        cr_expect(second == original(row, 0) || second == original(row, SIDE - 1));
        other += first != second;
        flips += flipped;
    }
    cr_expect(flips > 8 && flips < 32, "%d of 40 are mirrored", flips);
    cr_expect(other > 8 && other < 32, "%d of 40 are other pictures in the second epoch", other);
}

Test(augmentation, evaluation_sees_the_rows_as_they_are)
{
    static Seen plain, changed;
    const char *data = "split { valid = 0.5; seed = 3 }";
    const char *metric = "metrics = [mse(sum(x, axis=[1, 2, 3]), 0.0 * f32(id))]";
    train(program_of("random_erase(y, p=1.0)", "if training", data, metric), &(How){0}, &changed);
    cr_assert_eq(changed.status, NNC_OK, "%s", changed.said);
    train(program_of("y", "if training", data, metric), &(How){0}, &plain);
    cr_expect(memcmp(plain.seen, changed.seen, sizeof plain.seen) != 0);
    /* the loss of the validation rows is 0: no step has touched their w */
    cr_expect_eq(plain.valid, changed.valid);
}

static const char noisy[] = "from nn import Linear\n"
                            "from losses import mse\n"
                            "from optim import sgd\n"
                            "module Noisy {\n"
                            "    let fc = Linear(2, 1)\n"
                            "    fn (x: f32[B, 2]) { fc(x + rand_like(x)) }\n"
                            "}\n"
                            "dataset d {\n"
                            "    source = arrays(x=rand(40, 2, seed=1), y=rand(40, 1, seed=2))\n"
                            "    split { valid = 0.5 }\n"
                            "    fn map(x, y) { (x + 0.1 * rand(2), y) }\n"
                            "}\n"
                            "train t on d {\n"
                            "    model = Noisy()\n"
                            "    loss = mse(model(x), y)\n"
                            "    optimizer = sgd(lr=0.01)\n"
                            "    batch = 8\n"
                            "    epochs = 3\n"
                            "}\n";

static double evaluate(nnc_trainer *trainer)
{
    const nnc_metric *metrics;
    size_t count;
    cr_assert_eq(nnc_trainer_evaluate(trainer, NNC_PART_VALID, &metrics, &count), NNC_OK);
    return metrics[0].value;
}

/* Random numbers of an evaluation are those of every evaluation, in the map and in the model. */
Test(augmentation, saved_weights_give_what_the_run_gave)
{
    char *folder = resume_folder(), path[1024];
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, noisy, NULL);
    Seen seen = {0};
    nnc_trainer *trainer;
    snprintf(path, sizeof path, "%s/weights.safetensors", folder);
    nnc_trainer_options options = {
        .size = sizeof options, .seed = 9, .save = path, .on_event = note_valid, .user = &seen};
    cr_assert_eq(nnc_trainer_new(program, NULL, &options, &trainer), NNC_OK);
    cr_assert_eq(nnc_trainer_run(trainer), NNC_OK);
    cr_expect_eq(evaluate(trainer), seen.valid);
    nnc_trainer_release(trainer);
    options = (nnc_trainer_options){.size = sizeof options, .seed = 9, .init = path};
    cr_assert_eq(nnc_trainer_new(program, NULL, &options, &trainer), NNC_OK);
    cr_expect_eq(evaluate(trainer), seen.valid);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    resume_remove(folder);
}

/* ---- What goes wrong ---- */

Test(augmentation, a_failing_row_is_named_and_nothing_hangs)
{
    static Seen seen;
    const char *text = program_of(
        "check(y + 0.0 * rand(1), reshape(i64(id) != 17, 1, 1, 1), \"17 is not wanted\")",
        "if training", "", "batch = 4\n    shuffle = false");
    for (int threads = -1; threads <= 4; threads++) {
        train(text, &(How){.loader_threads = threads}, &seen);
        cr_expect_eq(seen.status, NNC_DATA);
        cr_expect(strstr(seen.said, "17 is not wanted"), "%s", seen.said);
        cr_expect(strstr(seen.said, "row 17 of the data"), "%s", seen.said);
        /* steps before it were made: 4 batches of 4 rows */
        cr_expect_neq(seen.seen[15 * PIXELS], 0);
        cr_expect_eq(seen.seen[16 * PIXELS], 0);
    }
}

Test(augmentation, a_failing_row_of_an_evaluation_is_named)
{
    static Seen seen;
    const char *text = program_of(
        "check(y + 0.0 * rand(1), reshape(i64(id) != 17, 1, 1, 1), \"17 is not wanted\")",
        "if not training", "split { valid = 0.5; last = true }", "batch = 4");
    train(text, &(How){.loader_threads = 2}, &seen);
    cr_expect_eq(seen.status, NNC_OK, "row 17 is for training: %s", seen.said);
    text = program_of(
        "check(y + 0.0 * rand(1), reshape(i64(id) != 27, 1, 1, 1), \"27 is not wanted\")",
        "if not training", "split { valid = 0.5; last = true }", "batch = 4");
    train(text, &(How){.loader_threads = 2}, &seen);
    cr_expect_eq(seen.status, NNC_DATA);
    cr_expect(strstr(seen.said, "row 27 of the data"), "%s", seen.said);
}

Test(augmentation, a_nan_of_a_row_is_found_in_the_map)
{
    static Seen seen;
    const char *text = program_of("y * log(1.0 + rand(1) - 2.0 * f32(i32(id == 22)))",
                                  "if training", "", "batch = 4\n    shuffle = false");
    train(text, &(How){.loader_threads = 2}, &seen);
    cr_expect_eq(seen.status, NNC_DIVERGED);
    cr_expect(strstr(seen.said, "log gives 1 NaN"), "%s", seen.said);
    cr_expect(strstr(seen.said, "row 22 of the data"), "%s", seen.said);
    cr_expect_neq(seen.seen[19 * PIXELS], 0);
    cr_expect_eq(seen.seen[20 * PIXELS], 0);
}

static void stop_soon(void *user, const nnc_event *event)
{
    nnc_trainer **trainer = user;
    if (event->kind == NNC_EVENT_STEP && event->step == 3)
        nnc_trainer_stop(*trainer);
}

Test(augmentation, a_run_that_is_stopped_and_one_that_ends_early_join_their_threads)
{
    nnc_context *context = api_context(1);
    nnc_program *program =
        api_parse(context, program_of(all_changes, "if training", "", "batch = 2"), NULL);
    nnc_trainer *trainer;
    nnc_trainer_options options = {
        .size = sizeof options, .loader_threads = 4, .on_event = stop_soon, .user = &trainer};
    cr_assert_eq(nnc_trainer_new(program, NULL, &options, &trainer), NNC_OK);
    cr_expect_eq(nnc_trainer_run(trainer), NNC_INTERRUPTED);
    cr_expect_eq(nnc_trainer_run(trainer), NNC_OK, "it goes on");
    nnc_trainer_release(trainer);
    options.loader_threads = -2;
    cr_expect_eq(nnc_trainer_new(program, NULL, &options, &trainer), NNC_ARGUMENT);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(augmentation, an_interrupted_run_sees_the_rows_that_it_would_have_seen)
{
    char text[4096 + 64];
    snprintf(text, sizeof text, "%s",
             program_of(all_changes, "if training", "",
                        "batch = 3\n    epochs = 3\n    checkpoint { every = 5 }"));
    char *whole = resume_folder(), *parts = resume_folder();
    StrBuf why = {0};
    ResumeRun run = {.text = text, .folder = whole, .seed = 4};
    cr_assert_eq(resume_train(&run), NNC_OK);
    run.folder = parts;
    for (int64_t stop = 2; stop < 40; stop += 9) { /* 14 steps are an epoch */
        run.stop_at = stop;
        cr_assert_eq(resume_train(&run), NNC_INTERRUPTED);
        run.resume = true;
    }
    run.stop_at = 0;
    cr_assert_eq(resume_train(&run), NNC_OK);
    cr_expect(resume_same(whole, parts, &why), "%s", why.text);
    strbuf_free(&why);
    resume_remove(whole);
    resume_remove(parts);
}

/* ---- Maps that cannot run on a batch ---- */

static const char counted[] =
    "from nn import Linear\n"
    "from losses import mse\n"
    "from optim import sgd\n"
    "dataset points {\n"
    "    source = arrays(x=rand(30, 3, seed=1), n=randint(0, 30, 30, seed=2))\n"
    "    split { valid = 0.3 }\n"
    "    fn map(x, n) -> (x: f32[3], y: f32[1]) {\n"
    "        let k, v = while i < n with i = 0, v = sum(x) { v = v * 0.5; i = i + 1 }\n"
    "        (x, reshape(v, 1))\n"
    "    }\n"
    "}\n"
    "train a on points {\n"
    "    model = Linear(3, 1)\n"
    "    loss = mse(model(x), y)\n"
    "    optimizer = sgd(lr=0.1)\n"
    "    epochs = 2\n"
    "    batch = 8\n"
    "    predict = y\n"
    "}\n";

Test(augmentation, a_map_with_a_while_runs_row_by_row)
{
    ApiRun jit = api_train(counted, NULL, 1, 0);
    nnc_program_options options = {.size = sizeof options, .interpret = true};
    ApiRun ref = api_train(counted, &options, 1, 0);
    cr_assert_eq(jit.status, NNC_OK);
    cr_expect(api_same(&jit, &ref));
    api_free(&jit);
    api_free(&ref);
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, counted, NULL);
    nnc_session *session = api_session(program, NULL);
    cr_assert_eq(nnc_session_input_count(session), 2u);
    cr_expect_str_eq(nnc_session_input_shape(session, 0), "f32[B, 3]");
    cr_expect_str_eq(nnc_session_input_shape(session, 1), "i32[B]");
    float x[6] = {1, 2, 3, 4, 4, 8};
    int32_t n[2] = {1, 4};
    nnc_tensor *in[2], *out;
    cr_assert_eq(nnc_tensor_wrap(NNC_F32, 2, (int64_t[]){2, 3}, x, &in[0]), NNC_OK);
    cr_assert_eq(nnc_tensor_wrap(NNC_I32, 1, (int64_t[]){2}, n, &in[1]), NNC_OK);
    cr_assert_eq(nnc_session_run(session, in, &out), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    const float *y = nnc_tensor_data(out);
    cr_expect_eq(y[0], 3);
    cr_expect_eq(y[1], 1);
    nnc_tensor_release(out);
    nnc_tensor_release(in[0]);
    nnc_tensor_release(in[1]);
    nnc_session_release(session);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(augmentation, a_map_may_call_the_host)
{
    static Seen seen;
    char text[4096 + 64];
    snprintf(text, sizeof text, "extern fn twice(x: f32[1, 4, 4]) -> f32[1, 4, 4]\n%s",
             program_of("twice(y)", "if true", "", "batch = 6"));
    for (int ref = 0; ref < 2; ref++) {
        train(text, &(How){.loader_threads = 3, .interpret = ref}, &seen);
        cr_assert_eq(seen.status, NNC_OK, "%s", seen.said);
        for (int i = 0; i < VALUES; i++)
            cr_assert_eq(seen.seen[i], 2 * original(i / PIXELS, i % PIXELS));
    }
}

static atomic_long counted_elements;

static float count(float x)
{
    atomic_fetch_add(&counted_elements, 1);
    return x;
}

typedef struct {
    int64_t prefetch;
    bool ahead; /* of the step after the one that has ended */
} Bound;

/* At the end of step n batch n - 1 is still in use, and so many more may have been begun. */
static void check_bound(void *user, const nnc_event *event)
{
    Bound *bound = user;
    if (event->kind != NNC_EVENT_STEP)
        return;
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    long rows = atomic_load(&counted_elements) / PIXELS;
    cr_expect(rows <= 2 * (event->step + bound->prefetch), "step %lld: %ld rows, prefetch %lld",
              (long long)event->step, rows, (long long)bound->prefetch);
    bound->ahead |= rows > 2 * event->step;
}

Test(augmentation, batches_are_made_ahead_but_not_too_far)
{
    static char text[4096 + 64];
    for (int64_t prefetch = 1; prefetch <= 4; prefetch += 3) {
        char settings[64];
        snprintf(settings, sizeof settings, "batch = 2\n    prefetch = %lld", (long long)prefetch);
        snprintf(text, sizeof text, "extern fn count(x: f32[1, 4, 4]) -> f32[1, 4, 4]\n%s",
                 program_of("count(y)", "if training", "", settings));
        atomic_store(&counted_elements, 0);
        nnc_context *context = api_context(1);
        nnc_context_extern(context, "count", (void (*)(void))count, "f32(f32)");
        nnc_program *program = api_parse(context, text, NULL);
        nnc_trainer *trainer;
        Bound bound = {.prefetch = prefetch};
        nnc_trainer_options options = {
            .size = sizeof options, .loader_threads = 3, .on_event = check_bound, .user = &bound};
        cr_assert_eq(nnc_trainer_new(program, NULL, &options, &trainer), NNC_OK);
        cr_expect_eq(nnc_trainer_run(trainer), NNC_OK);
        cr_expect(bound.ahead);
        cr_expect_eq(atomic_load(&counted_elements), VALUES, "every row is made once");
        nnc_trainer_release(trainer);
        nnc_program_release(program);
        nnc_context_release(context);
    }
}

/* ---- The library ---- */

static Seen *changed(const char *change)
{
    static Seen seen;
    train(program_of(change, "if training", "", "batch = 16"), &(How){0}, &seen);
    cr_assert_eq(seen.status, NNC_OK, "%s: %s", change, seen.said);
    return &seen;
}

Test(augmentation, flips_are_one_of_two_pictures)
{
    static const char *const changes[] = {"random_flip(y)", "random_flip_vertical(y)",
                                          "random_flip(y, p=0.1)"};
    static const int least[] = {10, 10, 0}, most[] = {30, 30, 12};
    for (int i = 0; i < 3; i++) {
        const Seen *seen = changed(changes[i]);
        int flips = 0;
        for (int row = 0; row < ROWS; row++) {
            const float *x = &seen->seen[row * PIXELS];
            bool flipped = x[0] != original(row, 0);
            for (int p = 0; p < PIXELS; p++) {
                int h = p / SIDE, w = p % SIDE;
                int from = !flipped ? p
                           : i == 1 ? (SIDE - 1 - h) * SIDE + w
                                    : h * SIDE + SIDE - 1 - w;
                cr_assert_eq(x[p], original(row, from), "%s: row %d, pixel %d", changes[i], row, p);
            }
            flips += flipped;
        }
        cr_expect(flips >= least[i] && flips <= most[i], "%s: %d flips", changes[i], flips);
    }
}

Test(augmentation, crops_are_shifted_pictures)
{
    const Seen *seen = changed("random_crop(y, 4, 4, pad=1, value=-5.0)");
    int places[3][3] = {{0}}, used = 0;
    for (int row = 0; row < ROWS; row++) {
        const float *x = &seen->seen[row * PIXELS];
        bool found = false;
        for (int top = -1; top <= 1; top++)
            for (int left = -1; left <= 1; left++) {
                bool fits = true;
                for (int p = 0; fits && p < PIXELS; p++) {
                    int h = p / SIDE + top, w = p % SIDE + left;
                    bool inside = h >= 0 && h < SIDE && w >= 0 && w < SIDE;
                    fits = x[p] == (inside ? original(row, h * SIDE + w) : -5);
                }
                if (fits)
                    used += places[top + 1][left + 1]++ == 0;
                found |= fits;
            }
        cr_expect(found, "row %d is no shifted picture", row);
    }
    cr_expect_geq(used, 7, "%d of the 9 places", used);
}

/* How many pixels are 0, all others being as they were. */
static int erased(const float *x, int row)
{
    int count = 0;
    for (int p = 0; p < PIXELS; p++) {
        cr_assert(x[p] == 0 || x[p] == original(row, p), "row %d, pixel %d: %g", row, p, x[p]);
        count += x[p] == 0;
    }
    return count;
}

Test(augmentation, erased_parts_are_rectangles_within_bounds)
{
    const Seen *seen = changed("cutout(y, 2)");
    int whole = 0, hit = 0;
    for (int row = 0; row < ROWS; row++) {
        int count = erased(&seen->seen[row * PIXELS], row);
        cr_expect(count == 1 || count == 2 || count == 4, "row %d: %d", row, count);
        whole += count == 4;
    }
    cr_expect(whole > 12, "%d of 40 squares lie within the picture", whole); /* 9 of 16 */
    seen = changed("random_erase(y, p=0.5, low=0.25, high=0.3, ratio=0.5)");
    for (int row = 0; row < ROWS; row++) {
        int count = erased(&seen->seen[row * PIXELS], row);
        cr_expect(count == 0 || (count >= 2 && count <= 6), "row %d: %d", row, count);
        hit += count > 0;
    }
    cr_expect(hit > 8 && hit < 32, "%d of 40", hit);
}

Test(augmentation, brightness_is_one_factor_for_a_picture)
{
    const Seen *seen = changed("random_brightness(y / 8000.0, 0.25)");
    float low = 10, high = 0;
    for (int row = 0; row < ROWS; row++) {
        float factor = seen->seen[row * PIXELS] * 8000 / original(row, 0);
        for (int p = 0; p < PIXELS; p++)
            cr_expect_float_eq(seen->seen[row * PIXELS + p] * 8000 / original(row, p), factor,
                               1e-5);
        low = fminf(low, factor);
        high = fmaxf(high, factor);
    }
    cr_expect(low >= 0.75f && low < 0.85f && high <= 1.25f && high > 1.15f, "%g to %g", low, high);
}

Test(augmentation, contrast_keeps_the_mean)
{
    const Seen *seen = changed("random_contrast(y / 8000.0, 0.5)");
    for (int row = 0; row < ROWS; row++) {
        const float *x = &seen->seen[row * PIXELS];
        double mean = 0, factor = (x[PIXELS - 1] - x[0]) * 8000 / 15;
        for (int p = 0; p < PIXELS; p++)
            mean += x[p] * 8000 / PIXELS;
        cr_expect_float_eq(mean, 100 * row + 8.5, 1e-2);
        cr_expect(factor > 0.49 && factor < 1.51, "row %d: %g", row, factor);
    }
}

Test(augmentation, affine_maps_of_known_angles)
{
    static const char *const turns[] = {
        "random_affine(y) + 0.0 * rand(1)",
        "sample_at(y, f32(reshape(arange(4), 4, 1)) + zeros(4, 4), 3.0 - f32(arange(4)) + zeros(4, "
        "4)) + 0.0 * rand(1)",
        "sample_at(y, f32(arange(4)) + zeros(4, 4), 3.0 - f32(reshape(arange(4), 4, 1)) + zeros(4, "
        "4)) + 0.0 * rand(1)",
        "sample_at(y, 0.5 + f32(reshape(arange(4), 4, 1)) + zeros(4, 4), f32(arange(4)) + zeros(4, "
        "4)) + 0.0 * rand(1)",
    };
    for (int i = 0; i < 4; i++) {
        const Seen *seen = changed(turns[i]);
        for (int p = 0; p < PIXELS; p++) {
            int h = p / SIDE, w = p % SIDE, row = 7;
            float half = h == SIDE - 1 ? 0.5f * original(row, p)
                                       : 0.5f * (original(row, p) + original(row, p + SIDE));
            float wanted = i == 0   ? original(row, p)
                           : i == 1 ? original(row, h * SIDE + SIDE - 1 - w)
                           : i == 2 ? original(row, w * SIDE + SIDE - 1 - h)
                                    : half;
            cr_expect_float_eq(seen->seen[row * PIXELS + p], wanted, 1e-3 * wanted,
                               "turn %d, pixel %d: %g, not %g", i, p, seen->seen[row * PIXELS + p],
                               wanted);
        }
    }
}

Test(augmentation, noise_is_normal)
{
    const Seen *seen = changed("random_noise(0.0 * y, 2.0)");
    double sum = 0, squares = 0;
    for (int i = 0; i < VALUES; i++) {
        sum += seen->seen[i];
        squares += seen->seen[i] * seen->seen[i];
    }
    cr_expect_float_eq(sum / VALUES, 0, 0.25);
    cr_expect_float_eq(squares / VALUES, 4, 0.6);
}

/* ---- mixup ---- */

static const char mixing[] =
    "from optim import sgd\n"
    "from image import mixup\n"
    "module Seen {\n"
    "    param w: f32[6, 2] = 0\n"
    "    param v: f32[6, 3] = 0\n"
    "    fn (x: f32[B, 2], y: f32[B, 3], id: i32[B]) { sum(take(w, id) * x) + sum(take(v, id) * y) "
    "}\n"
    "}\n"
    "fn mixed(model, x, y, id) {\n"
    "    let a, b = mixup(x, one_hot(y, 3))\n"
    "    model(a, b, id)\n"
    "}\n"
    "dataset d {\n"
    "    source = arrays(x=reshape(f32(arange(12)), 6, 2), y=arange(6) % 3, id=arange(6))\n"
    "}\n"
    "train t on d {\n"
    "    model = Seen()\n"
    "    loss = mixed(model, x, y, id)\n"
    "    optimizer = sgd(lr=1.0)\n"
    "    predict = x\n"
    "    batch = 6\n"
    "    shuffle = false\n"
    "}\n";

Test(augmentation, mixup_mixes_rows_and_labels_by_one_weight)
{
    ApiRun run = api_train(mixing, NULL, 1, 3);
    cr_assert_eq(run.status, NNC_OK);
    cr_assert_eq(run.bytes, sizeof(float) * 30);
    const float *w = (const float *)run.weights, *v = w + 12;
    for (int row = 0; row < 6; row++) {
        int next = (row + 1) % 6;
        float weight = -v[row * 3 + row % 3];
        cr_expect(weight >= 0 && weight < 1, "row %d: %g", row, weight);
        cr_expect_float_eq(-v[row * 3 + next % 3], 1 - weight, 1e-6);
        for (int i = 0; i < 2; i++)
            cr_expect_float_eq(-w[row * 2 + i],
                               weight * (float)(row * 2 + i) + (1 - weight) * (float)(next * 2 + i),
                               1e-5);
    }
    api_free(&run);
}
