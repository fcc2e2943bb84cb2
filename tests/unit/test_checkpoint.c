/* Runs that go on: the same bytes as a run that was never stopped; checkpoints that are damaged
 * or of another run; folders, pointers, what is kept. */
#include "compiler/driver/steps.h"
#include "runtime/train/checkpoint.h"
#include "tests/support/api.h"
#include "tests/support/files.h"
#include "tests/support/resume.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder;

static void make_folder(void)
{
    folder = resume_folder();
}

static void remove_folder(void)
{
    resume_remove(folder);
    free(folder);
}

TestSuite(checkpoint, .init = make_folder, .fini = remove_folder);

static void expect_part(const StrBuf *text, const char *part)
{
    cr_expect(text->text && strstr(text->text, part), "\"%s\" is not said: %s", part,
              text->text ? text->text : "");
}

static void expect_same(const char *a, const char *b)
{
    StrBuf why = {0};
    cr_expect(resume_same(a, b, &why), "%s and %s: %s", a, b, why.text);
    strbuf_free(&why);
}

static const char *const variants[] = {
    "    checkpoint { every = 2; keep = 100 }",
    "    checkpoint { every = 3 }\n    early_stop { monitor = \"train/loss\"; min_delta = 0.02 }",
    "    drop_last = true\n    steps = 7\n    shuffle = false",
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* Stopped after every step in turn, and taken over by a new trainer each time. */
static void check_stops(const char *text)
{
    char *whole = files_path(folder, "whole"), *parts = files_path(folder, "parts");
    ResumeRun run = {.text = text, .folder = whole, .seed = 3};
    cr_assert_eq(resume_train(&run), NNC_OK);
    run.folder = parts;
    run.resume = true;
    run.seed = 0; /* that of the checkpoint, or the first time none: it begins */
    for (int64_t step = 1; step < 16; step += step < 4 ? 1 : 3) {
        run.stop_at = step;
        run.seed = step == 1 ? 3 : 0;
        nnc_status status = resume_train(&run);
        cr_expect(status == NNC_INTERRUPTED || status == NNC_OK, "%d", (int)status);
    }
    run.stop_at = 0;
    cr_assert_eq(resume_train(&run), NNC_OK);
    expect_same(whole, parts);
    cr_assert_eq(resume_train(&run), NNC_OK); /* a run that has ended ends again */
    expect_same(whole, parts);
    resume_remove(whole);
    resume_remove(parts);
    free(whole);
    free(parts);
}

Test(checkpoint, stopped_and_resumed_runs_end_with_the_same_bytes)
{
    for (const ApiProgram *program = api_programs; program->name; program++)
        for (int i = 0; i < VARIANTS; i++) {
            char *text = resume_text(program->text, variants[i]);
            check_stops(text);
            free(text);
        }
}

static char *checkpointed(const char *name, const char *lines)
{
    char *path = files_path(folder, name), *text = resume_text(api_text("mlp"), lines);
    ResumeRun run = {.text = text, .folder = path};
    cr_assert_eq(resume_train(&run), NNC_OK);
    free(text);
    return path;
}

static int64_t pointed(const char *run, const char *name)
{
    Arena *arena = arena_new();
    int64_t step = -1;
    const char *to = steps_pointed(arena, arena_format(arena, "%s/checkpoints/%s", run, name));
    cr_assert_not_null(to, "%s", name);
    cr_expect(step_of_name(strrchr(to, '/') + 1, &step));
    arena_free(arena);
    return step;
}

/* 16 steps in 4 epochs of 4: the run improves in every epoch. */
/* The rate, and what it knows of the epochs before, go on. */
Test(checkpoint, of_a_schedule_that_watches_a_metric)
{
    static const char text[] =
        "from nn import Linear\nfrom losses import mse\nfrom optim import adam, plateau\n"
        "dataset rows { source = arrays(x=reshape(sin(f32(arange(144))), 48, 3), y=ones(48, 1))\n"
        " split { valid = 0.25 } }\n"
        "train t on rows { model = Linear(3, 1)\n loss = mse(model(x), y)\n"
        " optimizer = adam(plateau(0.2, factor=0.5, patience=0, threshold=0.3, cooldown=1))\n"
        " batch = 12\n epochs = 6\n checkpoint { every = 2; keep = 100 } }\n";
    check_stops(text);
}

Test(checkpoint, what_is_kept_and_pointed_at)
{
    char *run = checkpointed("a", "    checkpoint { every = 3; keep = 2 }");
    cr_expect_eq(pointed(run, "last"), 16);
    cr_expect_eq(pointed(run, "best"), 16);
    cr_expect(resume_exists(run, "checkpoints/step-15") &&
              resume_exists(run, "checkpoints/step-16"));
    cr_expect(!resume_exists(run, "checkpoints/step-12"));
    free(run);
}

/* A rate of zero: the first epoch is the best one, and its checkpoint stays. */
Test(checkpoint, the_best_one_stays)
{
    char *path = files_path(folder, "a"),
         *text = resume_text(api_text("mlp"), "    checkpoint { every = 3; keep = 1 }");
    char *rate = strstr(text, "adam(lr=0.01)");
    memcpy(rate, "adam(lr=0.00)", 13);
    ResumeRun run = {.text = text, .folder = path};
    cr_assert_eq(resume_train(&run), NNC_OK);
    cr_expect_eq(pointed(path, "best"), 4);
    cr_expect_eq(pointed(path, "last"), 16);
    cr_expect(resume_exists(path, "checkpoints/step-4") &&
              resume_exists(path, "checkpoints/step-16") &&
              !resume_exists(path, "checkpoints/step-15"));
    free(text);
    free(path);
}

static void cut(const char *run, const char *name)
{
    char *path = files_path(run, name);
    cr_assert_eq(truncate(path, 40), 0);
    free(path);
}

Test(checkpoint, damaged_ones_are_named_and_skipped)
{
    static const char lines[] = "    checkpoint { every = 3; keep = 9 }";
    char *whole = checkpointed("whole", lines), *run = checkpointed("run", lines);
    char *text = resume_text(api_text("mlp"), lines);
    StrBuf said = {0};
    ResumeRun again = {.text = text, .folder = run, .resume = true, .said = &said};
    cut(run, "checkpoints/step-16/weights.safetensors");
    cut(run, "checkpoints/step-15/state.json");
    char *path = files_path(run, "checkpoints/step-12/state.safetensors");
    cr_assert_eq(remove(path), 0);
    free(path);
    cr_expect_eq(resume_train(&again), NNC_OK);
    expect_part(&said, "going on from");
    expect_part(&said, "checkpoints/step-9 (");
    expect_part(&said, "step-16 is damaged");
    expect_part(&said, "step-15 is damaged: state.json does not fit its checksum");
    expect_part(&said, "step-12 is damaged");
    cr_expect_eq(pointed(run, "last"), 16);
    cr_expect_eq(pointed(run, "best"), 16);
    expect_same(whole, run); /* the damaged ones were written again */
    strbuf_free(&said);
    free(text);
    free(run);
    free(whole);
}

Test(checkpoint, when_all_are_damaged_the_run_begins)
{
    static const char lines[] = "    checkpoint { every = 8; keep = 1 }";
    char *whole = checkpointed("whole", lines), *run = checkpointed("run", lines);
    char *text = resume_text(api_text("mlp"), lines);
    StrBuf said = {0};
    ResumeRun again = {.text = text, .folder = run, .resume = true, .said = &said};
    cut(run, "checkpoints/step-16/state.json");
    cr_expect_eq(resume_train(&again), NNC_OK);
    expect_part(&said, "starting from the beginning (step-16 is damaged");
    expect_same(whole, run);
    strbuf_free(&said);
    free(text);
    free(run);
    free(whole);
}

/* What another run was told, and the words that refuse its checkpoint. */
Test(checkpoint, of_another_run_are_refused)
{
    static const struct {
        const char *from, *to, *says;
    } others[] = {
        {"relu |> fc2", "relu |> relu |> fc2",
         "the training step (model, loss, optimizer) is another"},
        {"adam(lr=0.01)", "adam(lr=0.02)", "the training step (model, loss, optimizer) is another"},
        {"batch     = 16", "batch     = 15", "batch is 16 there and 15 here"},
        {"epochs    = 4", "epochs    = 3", "steps is 16 there and 12 here"},
        {"70, 5, seed=1", "70, 5, seed=2", "the rows of the data are others"},
        {"seed = 3", "seed = 4", "the rows of the data are others"},
        {"[accuracy(model(x), label)]", "[accuracy(2.0 * model(x), label)]", "the evaluation"},
    };
    static const char lines[] = "    checkpoint { every = 8 }";
    char *run = checkpointed("run", lines), *text = resume_text(api_text("mlp"), lines);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char *other = NULL, *at = strstr(text, others[i].from);
        StrBuf said = {0};
        cr_assert(at && asprintf(&other, "%.*s%s%s", (int)(at - text), text, others[i].to,
                                 at + strlen(others[i].from)) >= 0);
        ResumeRun again = {.text = other, .folder = run, .resume = true, .said = &said};
        cr_expect_eq(resume_train(&again), NNC_DATA, "%s", others[i].to);
        expect_part(&said, "E0808");
        expect_part(&said, others[i].says);
        strbuf_free(&said);
        free(other);
    }
    StrBuf said = {0};
    ResumeRun again = {.text = text, .folder = run, .resume = true, .seed = 9, .said = &said};
    cr_expect_eq(resume_train(&again), NNC_DATA);
    expect_part(&said, "seed is 0 there and 9 here");
    strbuf_free(&said);
    free(text);
    free(run);
}

/* `from` for `to` in a text; malloc'ed. */
static char *replaced(const char *text, const char *from, const char *to)
{
    char *out = NULL, *at = strstr(text, from);
    cr_assert(at && asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) >= 0);
    return out;
}

/* A run that has ended goes on when it is given more epochs, to the bytes of a run that was given
 * them at once; not where the rate depends on the length of the run. */
Test(checkpoint, of_a_run_that_is_made_longer)
{
    static const char lines[] = "    checkpoint { every = 8; keep = 100 }";
    char *whole = files_path(folder, "whole"), *run = files_path(folder, "run");
    char *four = resume_text(api_text("mlp"), lines);
    char *six = replaced(four, "epochs    = 4", "epochs    = 6");
    ResumeRun once = {.text = six, .folder = whole, .seed = 3};
    ResumeRun first = {.text = four, .folder = run, .seed = 3};
    ResumeRun more = {.text = six, .folder = run, .resume = true};
    cr_assert_eq(resume_train(&once), NNC_OK);
    cr_assert_eq(resume_train(&first), NNC_OK);
    cr_assert_eq(resume_train(&more), NNC_OK);
    expect_same(whole, run);
    resume_remove(run);
    char *import = replaced(four, "import adam", "import adam, linear");
    char *falling = replaced(import, "adam(lr=0.01)", "adam(lr=linear(0.01))");
    char *longer = replaced(falling, "epochs    = 4", "epochs    = 6");
    StrBuf said = {0};
    first.text = falling;
    more.text = longer;
    more.said = &said;
    cr_assert_eq(resume_train(&first), NNC_OK);
    cr_expect_eq(resume_train(&more), NNC_DATA);
    expect_part(&said, "steps is 16 there and 24 here");
    expect_part(&said, "the rate depends on how long the run is");
    strbuf_free(&said);
    free(longer);
    free(falling);
    free(import);
    free(six);
    free(four);
    free(run);
    free(whole);
}

Test(checkpoint, comments_and_how_often_do_not_matter)
{
    char *run = checkpointed("run", "    checkpoint { every = 8 }");
    char *text =
        resume_text(api_text("mlp"), "    # a remark\n    checkpoint { every = 5; minutes = 1 }");
    ResumeRun again = {.text = text, .folder = run, .resume = true};
    cr_expect_eq(resume_train(&again), NNC_OK);
    free(text);
    free(run);
}

Test(checkpoint, a_folder_belongs_to_one_run)
{
    char *run = checkpointed("run", "    checkpoint { every = 8 }");
    char *text = resume_text(api_text("mlp"), "    checkpoint { every = 8 }");
    StrBuf said = {0};
    ResumeRun again = {.text = text, .folder = run, .said = &said};
    cr_expect_eq(resume_train(&again), NNC_DATA);
    expect_part(&said, "E0809");
    expect_part(&said, "--resume");
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, text, NULL);
    nnc_trainer *first = NULL, *second = NULL;
    nnc_trainer_options options = {.size = sizeof options, .run_dir = run, .resume = true};
    cr_assert_eq(nnc_trainer_new(program, NULL, &options, &first), NNC_OK);
    cr_expect_eq(nnc_trainer_new(program, NULL, &options, &second), NNC_DATA);
    cr_expect(strstr(nnc_diagnostics(context, NNC_TEXT), "another process is running"));
    cr_expect_null(second);
    nnc_trainer_release(first);
    nnc_program_release(program);
    nnc_context_release(context);
    strbuf_free(&said);
    free(text);
    free(run);
}

/* Remains of killed processes go, other files stay. */
Test(checkpoint, remains_are_removed)
{
    char *run = checkpointed("run", "    checkpoint { every = 8 }");
    static const char *const names[] = {"checkpoints/tmp-77-step-3", "checkpoints/tmp-77-step-3/w",
                                        "checkpoints/last.tmp-77", "weights.safetensors.tmp-77",
                                        "checkpoints/notes"};
    for (int i = 0; i < 5; i++) {
        char *path = files_path(run, names[i]);
        if (i == 0)
            cr_assert_eq(mkdir(path, 0777), 0);
        else
            files_write(path, "x", 1);
        free(path);
    }
    char *text = resume_text(api_text("mlp"), "    checkpoint { every = 8 }");
    ResumeRun again = {.text = text, .folder = run, .resume = true};
    cr_expect_eq(resume_train(&again), NNC_OK);
    for (int i = 0; i < 5; i++)
        cr_expect_eq(resume_exists(run, names[i]), i == 4, "%s", names[i]);
    free(text);
    free(run);
}

/* ---- The calls of the API ---- */

typedef struct {
    nnc_context *context;
    nnc_program *program;
    nnc_trainer *trainer;
} Host;

static Host host_of(const char *text, const char *run_dir)
{
    Host host = {.context = api_context(1)};
    nnc_program_options how = {.size = sizeof how, .interpret = true};
    nnc_trainer_options options = {.size = sizeof options, .run_dir = run_dir};
    host.program = api_parse(host.context, text, &how);
    cr_assert_eq(nnc_trainer_new(host.program, NULL, &options, &host.trainer), NNC_OK);
    return host;
}

static void host_done(Host *host)
{
    nnc_trainer_release(host->trainer);
    nnc_program_release(host->program);
    nnc_context_release(host->context);
}

static double first_weight(nnc_model *model)
{
    nnc_tensor *tensor = NULL;
    cr_assert_eq(nnc_model_tensor(model, "fc1.weight", &tensor), NNC_OK);
    double value = *(const float *)nnc_tensor_data(tensor);
    nnc_tensor_release(tensor);
    return value;
}

static double weight_of(Host *host)
{
    nnc_model *model = NULL;
    cr_assert_eq(nnc_trainer_model(host->trainer, &model), NNC_OK);
    double value = first_weight(model);
    nnc_model_release(model);
    return value;
}

static double weight_at(Host *host, const char *path)
{
    nnc_model *model = NULL;
    nnc_status status = nnc_model_load(host->program, NULL, path, &model);
    cr_assert_eq(status, NNC_OK, "%s: %s", path, nnc_diagnostics(host->context, NNC_TEXT));
    double value = first_weight(model);
    nnc_model_release(model);
    return value;
}

Test(checkpoint, save_resume_and_load_by_hand)
{
    char *path = files_path(folder, "kept"), *run = files_path(folder, "run");
    char *best = files_path(folder, "run/checkpoints/best");
    char *text = resume_text(api_text("mlp"), "    checkpoint { every = 5 }");
    Host a = host_of(text, run), b = host_of(text, NULL);
    double begin = weight_of(&b);
    cr_assert_eq(nnc_trainer_run(a.trainer), NNC_OK);
    for (int twice = 0; twice < 2; twice++) /* the second replaces the first */
        cr_assert_eq(nnc_trainer_checkpoint(a.trainer, path), NNC_OK);
    double end = weight_of(&a);
    cr_expect_neq(begin, end);
    cr_expect_eq(nnc_trainer_resume(b.trainer, path), NNC_OK);
    cr_expect_eq(weight_of(&b), end);
    cr_expect_eq(nnc_trainer_run(b.trainer), NNC_OK);
    cr_expect_eq(weight_of(&b), end);
    cr_expect_eq(weight_at(&b, path), end);
    cr_expect_eq(weight_at(&b, run), end);
    cr_expect_eq(weight_at(&b, best), end);
    cr_expect_eq(nnc_trainer_resume(b.trainer, best), NNC_OK);
    cr_expect_eq(nnc_trainer_resume(b.trainer, run), NNC_OK);
    cr_expect_eq(nnc_trainer_resume(b.trainer, NULL), NNC_ARGUMENT);
    cr_expect_eq(nnc_trainer_checkpoint(b.trainer, NULL), NNC_ARGUMENT);
    cr_expect_eq(nnc_trainer_resume(b.trainer, "no/such/place"), NNC_DATA);
    cr_expect_eq(nnc_trainer_checkpoint(b.trainer, "/dev/null/place"), NNC_DATA);
    host_done(&a);
    host_done(&b);
    free(text);
    free(best);
    free(run);
    free(path);
}

/* Checkpoints that the host makes at events, whatever the event: those who go on from them end
 * like the run itself. */
typedef struct {
    nnc_trainer **trainer;
    nnc_event_kind kind;
    int64_t step;
    const char *path;
    int made;
} AtEvent;

static void save_at_event(void *user, const nnc_event *event)
{
    AtEvent *at = user;
    if (event->kind == at->kind && event->step == at->step)
        at->made += nnc_trainer_checkpoint(*at->trainer, at->path) == NNC_OK;
}

Test(checkpoint, made_at_events)
{
    static const struct {
        nnc_event_kind kind;
        int64_t step;
    } moments[] = {{NNC_EVENT_STEP, 1},
                   {NNC_EVENT_STEP, 4},
                   {NNC_EVENT_EPOCH, 4},
                   {NNC_EVENT_STEP, 7},
                   {NNC_EVENT_EPOCH, 16}};
    char *path = files_path(folder, "kept");
    char *text = resume_text(api_text("mlp"), "    early_stop { patience = 2; min_delta = 0.3 }");
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        Host a = {.context = api_context(1)}, b = host_of(text, NULL);
        AtEvent at = {&a.trainer, moments[i].kind, moments[i].step, path, 0};
        nnc_trainer_options options = {
            .size = sizeof options, .on_event = save_at_event, .user = &at};
        a.program = api_parse(a.context, text, NULL);
        cr_assert_eq(nnc_trainer_new(a.program, NULL, &options, &a.trainer), NNC_OK);
        cr_assert_eq(nnc_trainer_run(a.trainer), NNC_OK);
        if (at.made > 0) { /* the run may have stopped before */
            cr_assert_eq(nnc_trainer_resume(b.trainer, path), NNC_OK);
            cr_assert_eq(nnc_trainer_run(b.trainer), NNC_OK);
            cr_expect_eq(weight_of(&a), weight_of(&b), "moment %zu", i);
        } else {
            cr_expect_eq(moments[i].step, 16);
        }
        host_done(&a);
        host_done(&b);
    }
    free(text);
    free(path);
}

/* Damaged files: refused or, when a byte got the value it had, the same state. The trainer never
 * changes halfway. */
typedef struct {
    Host *host;
    const char *path;
    double begin, end;
    int refused, taken;
} Damage;

static void check_damage(const char *file, void *user)
{
    Damage *damage = user;
    (void)file;
    nnc_status status = nnc_trainer_resume(damage->host->trainer, damage->path);
    cr_assert_eq(strlen(nnc_diagnostics(damage->host->context, NNC_TEXT)) > 0, status != NNC_OK);
    double weight = weight_of(damage->host);
    cr_assert(status == NNC_DATA || status == NNC_OK);
    cr_assert(weight == damage->begin || weight == damage->end);
    damage->refused += status == NNC_DATA;
    damage->taken += status == NNC_OK;
}

static void damage_file(const char *name, int edits)
{
    char *path = files_path(folder, "kept"), *file = files_path(path, name);
    Host a = host_of(api_text("mlp"), NULL), b = host_of(api_text("mlp"), NULL);
    cr_assert_eq(nnc_trainer_run(a.trainer), NNC_OK);
    cr_assert_eq(nnc_trainer_checkpoint(a.trainer, path), NNC_OK);
    Damage damage = {.host = &b, .path = path, .begin = weight_of(&b), .end = weight_of(&a)};
    files_damage(file, edits, check_damage, &damage);
    cr_expect_gt(damage.refused, edits);
    cr_expect_lt(damage.taken, edits / 20 + 2, "%d taken", damage.taken);
    check_damage(NULL, &damage); /* whole again */
    cr_expect_eq(weight_of(&b), damage.end);
    host_done(&a);
    host_done(&b);
    free(file);
    free(path);
}

Test(checkpoint, damaged_weights_are_refused)
{
    damage_file("weights.safetensors", 300);
}

Test(checkpoint, damaged_states_are_refused)
{
    damage_file("state.safetensors", 300);
}

Test(checkpoint, damaged_state_files_are_refused)
{
    damage_file("state.json", 600);
}

/* The pieces fit the names and the hashes of none but their own checkpoint. */
Test(checkpoint, files_of_two_checkpoints_do_not_mix)
{
    char *run = checkpointed("run", "    checkpoint { every = 5; keep = 9 }");
    char *from = files_path(run, "checkpoints/step-5/state.safetensors");
    char *to = files_path(run, "checkpoints/step-16/state.safetensors");
    char *path = files_path(run, "checkpoints/step-16");
    StrBuf problem = {0};
    cr_assert_eq(rename(from, to), 0);
    cr_expect_null(checkpoint_open(path, &problem));
    expect_part(&problem, "state.safetensors was altered since it was written");
    strbuf_free(&problem);
    free(from);
    free(to);
    free(path);
    free(run);
}

/* By the clock: with no time at all between them, every step has one. */
Test(checkpoint, by_minutes)
{
    char *run = checkpointed("run", "    checkpoint { minutes = 0.0000001; keep = 20 }");
    for (int step = 1; step <= 16; step++) {
        char name[64];
        snprintf(name, sizeof name, "checkpoints/step-%d", step);
        cr_expect(resume_exists(run, name), "%s", name);
    }
    free(run);
    run = checkpointed("seldom", "    checkpoint { minutes = 1000 }");
    cr_expect(resume_exists(run, "checkpoints/step-16") &&
              !resume_exists(run, "checkpoints/step-15"));
    free(run);
}

/* ---- Divergence ---- */

static void expect_divergence(const char *text, const char *const *says)
{
    StrBuf said = {0};
    ResumeRun train = {.text = text, .said = &said};
    cr_assert_eq(resume_train(&train), NNC_DIVERGED, "%s", text);
    for (; *says; says++)
        expect_part(&said, *says);
    strbuf_free(&said);
}

#define DIVERGING(body)                                                                            \
    "from nn import Linear\nfrom optim import sgd\n"                                               \
    "dataset d { source = arrays(x=randn(64, 3, seed=1), y=randn(64, 1, seed=2))\n"                \
    "            fields = [x: f32[3], y: f32[1]] }\n"                                              \
    "fn walk(x: f32[B, T], h: f32[B, 1]) {\n"                                                      \
    "    scan s in x over T with h = h { h = log(h + 2.5 + 0.0 * unsqueeze(s, 1)) } }\n"           \
    "module M { let fc = Linear(3, 1)\n"                                                           \
    "    fn (x: f32[B, 3]) {\n" body "    } }\n"                                                   \
    "train t on d { model = M(); loss = mean((model(x) - y)**2); optimizer = sgd(lr=0.3)\n"        \
    "    batch = 8; epochs = 60 }\n"

Test(checkpoint, divergence_to_infinity)
{
    expect_divergence(
        DIVERGING(
            "let z = fc(x)\n exp(z * z * where(x[:, 0..1] > 1.0, 1000.0, 1.0)) - x[:, 0..1]\n"),
        (const char *const[]){"the loss is infinite at step", "exp gives", "its input mul", NULL});
}

/* The first iteration that does it is the one that is described. */
Test(checkpoint, divergence_inside_of_a_loop)
{
    expect_divergence(DIVERGING("walk(concat([x, x], axis=1), fc(x))\n"),
                      (const char *const[]){"log gives", "its input add", NULL});
}

Test(checkpoint, divergence_names_the_operation_and_keeps_the_last_checkpoint)
{
    static const char program[] =
        "from nn import Linear\nfrom optim import sgd\n"
        "dataset d { source = arrays(x=randn(64, 3, seed=1), y=randn(64, 1, seed=2))\n"
        "            fields = [x: f32[3], y: f32[1]] }\n"
        "module M { let fc = Linear(3, 1)\n"
        "    fn (x: f32[B, 3]) { let h = fc(x)\n"
        "        log(h + 5.0) } }\n"
        "train t on d { model = M(); loss = mean((model(x) - y)**2); optimizer = sgd(lr=0.3)\n"
        "    batch = 8; epochs = 20; checkpoint { every = 1 } }\n";
    char *run = files_path(folder, "run");
    StrBuf said = {0};
    ResumeRun train = {.text = program, .folder = run, .said = &said};
    cr_assert_eq(resume_train(&train), NNC_DIVERGED);
    expect_part(&said, "test.nn:7:9: error[E0800]: the loss is not a number at step");
    expect_part(&said, "log gives");
    expect_part(&said, "its input add: f32[B, 1], from");
    Host host = host_of(program, NULL);
    int64_t last = pointed(run, "last");
    char name[64], step[64];
    snprintf(name, sizeof name, "at step %lld\n", (long long)last + 1);
    expect_part(&said, name);
    snprintf(step, sizeof step, "run/checkpoints/step-%lld", (long long)last);
    char *path = files_path(folder, step), *weights = files_path(run, "weights.safetensors");
    nnc_model *a = NULL, *b = NULL;
    cr_assert_eq(nnc_model_load(host.program, NULL, path, &a), NNC_OK);
    cr_assert_eq(nnc_model_load(host.program, NULL, weights, &b), NNC_OK);
    nnc_tensor *from = NULL, *to = NULL;
    cr_assert_eq(nnc_model_tensor(a, "fc.weight", &from), NNC_OK);
    cr_assert_eq(nnc_model_tensor(b, "fc.weight", &to), NNC_OK);
    cr_expect_arr_eq(nnc_tensor_data(from), nnc_tensor_data(to), 12,
                     "the weights at the end are those before the bad step");
    nnc_tensor_release(from);
    nnc_tensor_release(to);
    nnc_model_release(a);
    nnc_model_release(b);
    host_done(&host);
    strbuf_free(&said);
    free(path);
    free(weights);
    free(run);
}
