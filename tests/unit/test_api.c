/* The public API as a host meets it: whole lives of contexts, programs, trainers, models, sessions
 * and tensors, in any order of release; what every wrong call answers; and that a failing call
 * leaves its outputs alone. */
#include "tests/support/api.h"
#include "runtime/base/strbuf.h"
#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

static void make_folder(void)
{
    folder = files_folder();
}

static void remove_folder(void)
{
    files_remove(folder);
}

TestSuite(api, .init = make_folder, .fini = remove_folder);

static void expect_said(nnc_context *context, const char *part)
{
    const char *text = nnc_diagnostics(context, NNC_TEXT);
    cr_expect(strstr(text, part) != NULL, "\"%s\" is not said: %s", part, text);
}

static nnc_trainer *make_trainer(nnc_context *context, nnc_program *program,
                                 const nnc_trainer_options *options)
{
    nnc_trainer *trainer = NULL;
    nnc_status status = nnc_trainer_new(program, NULL, options, &trainer);
    cr_assert_eq(status, NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    return trainer;
}

/* ---- Small things ---- */

Test(api, statuses_versions_pages)
{
    cr_expect_str_eq(nnc_version(), "0.1.0");
    cr_expect(strlen(nnc_status_text(NNC_DIVERGED)) > 0);
    cr_expect_str_eq(nnc_status_text((nnc_status)77), "no such status");
    cr_expect_not_null(nnc_explain("E0312"));
    cr_expect_null(nnc_explain("E9999"));
    cr_expect_null(nnc_explain(NULL));
}

Test(api, null_is_released)
{
    nnc_context_release(NULL);
    nnc_program_release(NULL);
    nnc_trainer_release(NULL);
    nnc_model_release(NULL);
    nnc_session_release(NULL);
    nnc_tensor_release(NULL);
    nnc_free(NULL);
}

Test(api, option_structs_have_sizes)
{
    struct {
        nnc_context_options known;
        int64_t later; /* a field of a newer version */
    } newer = {.known = {.size = sizeof newer, .threads = 1}, .later = 5};
    nnc_context *context = NULL;
    cr_expect_eq(nnc_context_new(&(nnc_context_options){.size = 0}, &context), NNC_ARGUMENT);
    cr_expect_eq(
        nnc_context_new(&(nnc_context_options){.size = sizeof(nnc_context_options), .threads = -1},
                        &context),
        NNC_ARGUMENT);
    cr_expect_null(context);
    cr_assert_eq(nnc_context_new(&newer.known, &context), NNC_OK);
    nnc_program *program = NULL;
    nnc_program_options older = {
        .size = offsetof(nnc_program_options, f64), .interpret = true, .cpu = "no such processor"};
    cr_expect_eq(nnc_program_parse(context, "a.nn", api_text("mlp"), &older, &program), NNC_OK);
    nnc_trainer *trainer = NULL; /* the fields beyond the size are not read */
    cr_expect_eq(nnc_trainer_new(program, NULL, NULL, &trainer), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    nnc_trainer_release(trainer);
    trainer = NULL;
    cr_expect_eq(nnc_trainer_new(program, NULL, &(nnc_trainer_options){.seed = 1}, &trainer),
                 NNC_ARGUMENT);
    cr_expect_null(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(api, tensors)
{
    nnc_tensor *tensor = NULL;
    float numbers[6] = {1, 2, 3, 4, 5, 6};
    cr_assert_eq(nnc_tensor_new(NNC_I64, 2, (int64_t[]){3, 4}, &tensor), NNC_OK);
    cr_expect_eq(nnc_tensor_dtype(tensor), NNC_I64);
    cr_expect_eq(nnc_tensor_rank(tensor), 2);
    cr_expect_eq(nnc_tensor_size(tensor, 1), 4);
    cr_expect_eq(nnc_tensor_elements(tensor), 12);
    for (int i = 0; i < 12; i++)
        cr_expect_eq(((int64_t *)nnc_tensor_data(tensor))[i], 0);
    nnc_tensor_release(tensor);
    cr_assert_eq(nnc_tensor_wrap(NNC_F32, 2, (int64_t[]){2, 3}, numbers, &tensor), NNC_OK);
    cr_expect_eq(nnc_tensor_data(tensor), numbers);
    nnc_tensor_release(tensor);
    cr_assert_eq(nnc_tensor_new(NNC_F32, 0, NULL, &tensor), NNC_OK);
    cr_expect_eq(nnc_tensor_elements(tensor), 1);
    nnc_tensor_release(tensor);
    cr_assert_eq(nnc_tensor_new(NNC_F32, 2, (int64_t[]){0, 5}, &tensor), NNC_OK);
    cr_expect_eq(nnc_tensor_elements(tensor), 0);
    nnc_tensor_release(tensor);
    tensor = NULL;
    cr_expect_eq(nnc_tensor_new(NNC_F32, 9, (int64_t[9]){0}, &tensor), NNC_ARGUMENT);
    cr_expect_eq(nnc_tensor_new(NNC_F32, -1, NULL, &tensor), NNC_ARGUMENT);
    cr_expect_eq(nnc_tensor_new(NNC_F32, 1, (int64_t[]){-1}, &tensor), NNC_ARGUMENT);
    cr_expect_eq(nnc_tensor_new(NNC_F32, 2, (int64_t[]){INT64_MAX / 2, 3}, &tensor), NNC_ARGUMENT);
    cr_expect_eq(nnc_tensor_new((nnc_dtype)99, 1, (int64_t[]){1}, &tensor), NNC_ARGUMENT);
    cr_expect_eq(nnc_tensor_wrap(NNC_F32, 1, (int64_t[]){1}, NULL, &tensor), NNC_ARGUMENT);
    cr_expect_null(tensor);
}

/* ---- Programs ---- */

Test(api, wrong_programs)
{
    nnc_context *context = api_context(1);
    nnc_program *program = NULL;
    cr_expect_str_eq(nnc_diagnostics(context, NNC_TEXT), "");
    cr_expect_eq(nnc_program_parse(context, "wrong.nn", "module {", NULL, &program), NNC_PROGRAM);
    cr_expect_null(program);
    expect_said(context, "wrong.nn:1:8: error[E");
    const char *json = nnc_diagnostics(context, NNC_JSON);
    cr_expect(strstr(json, "{\"event\":\"error\"") && strstr(json, "\"file\":\"wrong.nn\"") &&
                  strstr(json, "\"line\":1"),
              "%s", json);
    cr_expect(strstr(nnc_diagnostics(context, NNC_TEXT_COLOUR), "\033["));
    cr_expect_eq(nnc_program_load(context, "/nonexistent/a.nn", NULL, &program), NNC_DATA);
    expect_said(context, "cannot read /nonexistent/a.nn");
    cr_expect(strstr(nnc_diagnostics(context, NNC_TEXT), "wrong.nn") == NULL, "earlier errors go");
    cr_expect_eq(nnc_program_load(context, "/tmp", NULL, &program), NNC_DATA);
    cr_expect_eq(nnc_program_load(context, NULL, NULL, &program), NNC_ARGUMENT);
    cr_expect_eq(nnc_program_parse(context, "a.nn", NULL, NULL, &program), NNC_ARGUMENT);
    cr_expect_null(program);
    program = api_parse(context, "# nothing\n", NULL);
    cr_expect_str_eq(nnc_diagnostics(context, NNC_TEXT), "");
    cr_expect_eq(nnc_program_block_count(program), 0);
    cr_expect_null(nnc_program_block_name(program, 0));
    nnc_trainer *trainer = NULL;
    cr_expect_eq(nnc_trainer_new(program, NULL, NULL, &trainer), NNC_PROGRAM);
    expect_said(context, "no train block");
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(api, names_of_blocks)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_text("mlp"), NULL);
    nnc_trainer *trainer = NULL;
    nnc_model *model = NULL;
    char *text = NULL;
    cr_expect_eq(nnc_program_block_count(program), 1);
    cr_expect_str_eq(nnc_program_block_name(program, 0), "mlp");
    cr_expect_null(nnc_program_block_name(program, 1));
    cr_expect_eq(nnc_trainer_new(program, "mpl", NULL, &trainer), NNC_PROGRAM);
    expect_said(context, "did you mean mlp");
    cr_expect_eq(nnc_model_load(program, "other", NULL, &model), NNC_PROGRAM);
    cr_expect_eq(nnc_program_text(program, "other", "summary", &text), NNC_PROGRAM);
    cr_expect(!trainer && !model && !text);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(api, defines_and_settings)
{
    const char *settings[] = {"train.epochs=1", "train.batch=7"}, *unknown[] = {"train.epoch=1"};
    nnc_context *context = api_context(1);
    nnc_program_options options = {
        .size = sizeof options, .settings = settings, .setting_count = 2};
    ApiRun run = api_train(api_text("mlp"), &options, 1, 0);
    cr_expect_eq(run.steps, 8); /* 56 rows */
    api_free(&run);
    nnc_program *program = NULL;
    options.settings = unknown;
    options.setting_count = 1;
    cr_expect_eq(nnc_program_parse(context, "a.nn", api_text("mlp"), &options, &program),
                 NNC_PROGRAM);
    expect_said(context, "epochs");
    cr_expect_null(program);
    nnc_context_release(context);
}

Test(api, texts)
{
    static const char *const all[] = {
        "ast",   "dims",          "summary",     "dot",         "svg",       "memory",
        "graph", "final",         "schedule",    "plan",        "kernel",    "llvm",
        "asm",   "graph.predict", "kernel.eval", "asm.forward", "after:grad"};
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_text("cnn"), NULL);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char *text = NULL;
        if (strncmp(all[i], "after:", 6) == 0)
            continue; /* which passes there are is a matter of the pipeline */
        cr_expect_eq(nnc_program_text(program, NULL, all[i], &text), NNC_OK, "%s: %s", all[i],
                     nnc_diagnostics(context, NNC_TEXT));
        cr_expect(text && strlen(text) > 10, "%s is \"%s\"", all[i], text);
        nnc_free(text);
    }
    char *text = NULL;
    cr_expect_eq(nnc_program_text(program, NULL, "kernle", &text), NNC_ARGUMENT);
    expect_said(context, "did you mean kernel");
    cr_expect_eq(nnc_program_text(program, NULL, "graph.backward", &text), NNC_ARGUMENT);
    cr_expect_eq(nnc_program_text(program, NULL, "after:nothing", &text), NNC_ARGUMENT);
    cr_expect_eq(nnc_program_text(program, NULL, NULL, &text), NNC_ARGUMENT);
    cr_expect_null(text);
    nnc_program_release(program);
    nnc_context_release(context);
}

/* ---- Training ---- */

typedef struct {
    int counts[4];
    nnc_event_kind last;
    int64_t steps, parameters, train, valid, arena, used;
    double first_loss, last_loss;
    char json[65536];
    nnc_trainer *stop;
} Events;

static void note_event(void *user, const nnc_event *event)
{
    Events *events = user;
    char *line = NULL;
    cr_expect_eq(nnc_event_json(event, &line), NNC_OK);
    cr_expect(line[0] == '{' && strchr(line, '\n') == NULL);
    if (strlen(events->json) + strlen(line) + 2 < sizeof events->json)
        strcat(strcat(events->json, line), "\n");
    nnc_free(line);
    events->counts[event->kind]++;
    events->last = event->kind;
    if (event->kind == NNC_EVENT_START) {
        events->parameters = event->parameters;
        events->train = event->examples_train;
        events->valid = event->examples_valid;
        events->arena = event->arena_bytes;
    }
    if (event->kind == NNC_EVENT_STEP) {
        events->steps = event->step;
        events->last_loss = event->loss;
        if (event->step == 1)
            events->first_loss = event->loss;
        if (event->step == 3 && events->stop)
            nnc_trainer_stop(events->stop);
    }
    if (event->kind == NNC_EVENT_EPOCH)
        cr_expect(event->train_count == 2 && event->valid_count == 2 &&
                  strcmp(event->train[1].name, "accuracy") == 0);
    if (event->kind == NNC_EVENT_END)
        events->used = event->arena_bytes_used;
}

Test(api, events)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_text("mlp"), NULL);
    Events *events = calloc(1, sizeof *events);
    nnc_trainer_options options = {.size = sizeof options, .on_event = note_event, .user = events};
    nnc_trainer *trainer = make_trainer(context, program, &options);
    cr_expect_eq(nnc_trainer_run(trainer), NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    cr_expect(events->counts[NNC_EVENT_START] == 1 && events->counts[NNC_EVENT_STEP] == 16 &&
              events->counts[NNC_EVENT_EPOCH] == 4 && events->counts[NNC_EVENT_END] == 1);
    cr_expect_eq(events->last, NNC_EVENT_END);
    cr_expect_eq(events->parameters, 5 * 16 + 16 + 16 * 3 + 3);
    cr_expect(events->train == 56 && events->valid == 14);
    cr_expect(events->last_loss < events->first_loss);
    cr_expect_eq(events->arena, events->used, "predicted %lld bytes, used %lld",
                 (long long)events->arena, (long long)events->used);
    cr_expect(strstr(events->json, "{\"event\":\"start\"") &&
              strstr(events->json, "{\"event\":\"end\""));
    free(events);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(api, a_run_is_stopped)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_text("mlp"), NULL);
    Events *events = calloc(1, sizeof *events);
    char *path = files_path(folder, "stopped.safetensors");
    nnc_trainer_options options = {
        .size = sizeof options, .on_event = note_event, .user = events, .save = path};
    nnc_trainer *trainer = make_trainer(context, program, &options);
    events->stop = trainer;
    cr_expect_eq(nnc_trainer_run(trainer), NNC_INTERRUPTED);
    cr_expect(events->steps == 3 && events->last == NNC_EVENT_END);
    size_t length = 0;
    char *saved = files_read(path, &length);
    cr_expect(length > 100);
    free(saved);
    events->stop = NULL; /* and goes on, as if nothing had happened */
    cr_expect_eq(nnc_trainer_run(trainer), NNC_OK);
    ApiRun whole = api_train(api_text("mlp"), NULL, 1, 0);
    cr_expect(events->steps == 16 && events->last_loss == whole.losses[15]);
    cr_expect_eq(nnc_trainer_run(trainer), NNC_OK, "nothing is left to do");
    cr_expect_eq(events->counts[NNC_EVENT_STEP], 16);
    api_free(&whole);
    free(path);
    free(events);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(api, evaluation)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_text("mlp"), NULL);
    nnc_trainer *trainer = make_trainer(context, program, NULL);
    const nnc_metric *metrics = NULL;
    size_t count = 0;
    cr_assert_eq(nnc_trainer_evaluate(trainer, NNC_PART_VALID, &metrics, &count), NNC_OK);
    cr_expect(count == 2 && strcmp(metrics[0].name, "loss") == 0 && isfinite(metrics[0].value));
    double before = metrics[0].value;
    cr_assert_eq(nnc_trainer_evaluate(trainer, NNC_PART_VALID, &metrics, &count), NNC_OK);
    cr_expect_eq(before, metrics[0].value, "evaluation changes nothing");
    metrics = NULL;
    cr_expect_eq(nnc_trainer_evaluate(trainer, NNC_PART_TEST, &metrics, &count), NNC_ARGUMENT);
    expect_said(context, "test part of the data has no rows");
    cr_expect_eq(nnc_trainer_evaluate(trainer, (nnc_part)7, &metrics, &count), NNC_ARGUMENT);
    cr_expect(metrics == NULL && count == 2);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}

/* run.json names what a result depends on. */
static void expect_record(const char *text)
{
    static const char *const keys[] = {"nnc",  "file", "seed",          "threads",
                                       "cpu",  "llvm", "configuration", "data",
                                       "rows", "float"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[40];
        snprintf(key, sizeof key, "\"%s\": ", keys[i]);
        const char *at = strstr(text, key);
        cr_assert(at != NULL, "%s in %s", keys[i], text);
        cr_expect(strncmp(at + strlen(key), "\"\"", 2) != 0, "%s is empty", keys[i]);
    }
}

Test(api, a_run_directory)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_text("mlp"), NULL);
    char *run = files_path(folder, "a");
    nnc_trainer_options options = {.size = sizeof options, .run_dir = run};
    nnc_trainer *trainer = make_trainer(context, program, &options);
    cr_expect_eq(nnc_trainer_run(trainer), NNC_OK);
    nnc_trainer_release(trainer);
    static const char *const names[] = {"run.json", "log.jsonl", "weights.safetensors"};
    for (int i = 0; i < 3; i++) {
        size_t length = 0;
        char *path = files_path(run, names[i]), *text = files_read(path, &length);
        cr_expect(length > 50, "%s", path);
        if (i == 0)
            expect_record(text);
        free(text);
        free(path);
    }
    trainer = NULL;
    options.run_dir = "/dev/null/here";
    cr_expect_eq(nnc_trainer_new(program, NULL, &options, &trainer), NNC_DATA);
    expect_said(context, "cannot make the folder /dev/null/here");
    cr_expect_null(trainer);
    free(run);
    nnc_program_release(program);
    nnc_context_release(context);
}

static bool exists(const char *run, const char *name)
{
    char *path = files_path(run, name);
    FILE *file = fopen(path, "rb");
    bool found = file != NULL;
    if (file)
        fclose(file);
    free(path);
    return found;
}

Test(api, checkpoints)
{
    nnc_context *context = api_context(1);
    StrBuf text = {0};
    const char *mlp = api_text("mlp"), *batch = strstr(mlp, "    batch     = 16");
    strbuf_printf(&text, "%.*s    checkpoint { every = 3; keep = 2 }\n%s", (int)(batch - mlp), mlp,
                  batch);
    nnc_program *program = api_parse(context, text.text, NULL);
    char *run = files_path(folder, "a");
    nnc_trainer_options options = {.size = sizeof options, .run_dir = run};
    nnc_trainer *trainer = make_trainer(context, program, &options);
    cr_expect_eq(nnc_trainer_run(trainer), NNC_OK); /* 16 steps */
    cr_expect(!exists(run, "checkpoints/step-12") && exists(run, "checkpoints/step-15") &&
              exists(run, "checkpoints/step-16") && exists(run, "checkpoints/last"));
    cr_expect(exists(run, "weights.safetensors"));
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    strbuf_free(&text);
    free(run);
}

static const char csv_program[] =
    "from nn import Linear\nfrom losses import mse\nfrom optim import sgd\n"
    "module Net { let fc = Linear(2, 1)\n fn (x: f32[B, 2]) -> f32[B, 1] { fc(x) } }\n"
    "dataset d { source = csv(\"SOURCE.csv\", x=\"a..b\", y=\"c\")\n fields = [x: f32[2], y: "
    "f32[1]] }\n"
    "train t on d { model = Net()\n loss = mse(model(x), y)\n optimizer = sgd(lr=0.01)\n batch = 4 "
    "}\n";

/* The status of opening the program over this table; NULL: over none. */
static nnc_status open_table(nnc_context *context, const char *table, const char *from,
                             const char *to)
{
    char *path = files_path(folder, "p.nn"), *data = files_path(folder, "SOURCE.csv");
    StrBuf text = {0};
    const char *found = from ? strstr(csv_program, from) : NULL;
    strbuf_add_bytes(&text, csv_program,
                     found ? (size_t)(found - csv_program) : strlen(csv_program));
    if (found)
        strbuf_printf(&text, "%s%s", to, found + strlen(from));
    files_write(path, text.text, text.length);
    if (table)
        files_write(data, table, strlen(table));
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    cr_assert_eq(nnc_program_load(context, path, NULL, &program), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    nnc_status status = nnc_trainer_new(program, NULL, NULL, &trainer);
    if (status == NNC_OK)
        status = nnc_trainer_run(trainer);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    strbuf_free(&text);
    free(path);
    free(data);
    return status;
}

Test(api, data_that_is_missing_or_wrong)
{
    nnc_context *context = api_context(1);
    cr_expect_eq(open_table(context, NULL, NULL, NULL), NNC_DATA);
    expect_said(context, "SOURCE.csv");
    expect_said(context, "p.nn:6:");
    cr_expect_eq(open_table(context, "a,b,c\n1,2,x\n", NULL, NULL), NNC_DATA);
    cr_expect_eq(open_table(context, "a,b\n1,2\n", NULL, NULL), NNC_DATA);
    cr_expect_eq(open_table(context, "a,b,c\n", NULL, NULL), NNC_DATA);
    expect_said(context, "no rows");
    cr_expect_eq(open_table(context, "a,b,c\n1,2,3\n4,5,6\n7,8,9\n", NULL, NULL), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    cr_expect_str_eq(nnc_diagnostics(context, NNC_TEXT), "");
    nnc_context_release(context);
}

Test(api, batches_of_any_size)
{
    nnc_context *context = api_context(1);
    const char *table = "a,b,c\n1,2,3\n4,5,6\n7,8,9\n";
    cr_expect_eq(open_table(context, table, "batch = 4", "batch = 1000000000"), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    cr_expect_eq(open_table(context, table, "batch = 4", "batch = 2147483647; epochs = 3"), NNC_OK,
                 "%s", nnc_diagnostics(context, NNC_TEXT));
    cr_expect_eq(open_table(context, table, "batch = 4", "batch = 1; steps = 5"), NNC_OK);
    cr_expect_eq(open_table(context, table, "batch = 4", "batch = 4; drop_last = true; steps = 5"),
                 NNC_DATA);
    expect_said(context, "drop_last leaves nothing of 3 training rows");
    nnc_context_release(context);
}

Test(api, a_loss_that_is_no_number)
{
    nnc_context *context = api_context(1);
    const char *table = "a,b,c\n1e30,2e30,3e30\n-4e30,5e30,6e30\n7,8,9\n";
    cr_expect_eq(open_table(context, table, "lr=0.01", "lr=1000.0"), NNC_DIVERGED);
    expect_said(context, "E0800");
    nnc_context_release(context);
}

/* ---- Weights ---- */

static void save_trained(nnc_program *program, nnc_context *context, const char *path,
                         uint64_t seed)
{
    nnc_trainer_options options = {.size = sizeof options, .seed = seed, .save = path};
    nnc_trainer *trainer = make_trainer(context, program, &options);
    cr_assert_eq(nnc_trainer_run(trainer), NNC_OK);
    nnc_trainer_release(trainer);
}

static bool same_file(const char *a, const char *b)
{
    size_t length_a = 0, length_b = 0;
    char *text_a = files_read(a, &length_a), *text_b = files_read(b, &length_b);
    bool same = length_a == length_b && memcmp(text_a, text_b, length_a) == 0;
    free(text_a);
    free(text_b);
    return same;
}

Test(api, weights_go_and_come_back)
{
    nnc_context *context = api_context(2);
    char *first = files_path(folder, "a.safetensors"),
         *second = files_path(folder, "b.safetensors");
    for (const ApiProgram *p = api_programs; p->name; p++) {
        nnc_program *program = api_parse(context, p->text, NULL);
        save_trained(program, context, first, 3);
        nnc_model *model = NULL;
        cr_assert_eq(nnc_model_load(program, NULL, first, &model), NNC_OK, "%s",
                     nnc_diagnostics(context, NNC_TEXT));
        cr_assert_eq(nnc_model_save(model, second), NNC_OK);
        nnc_model_release(model);
        cr_expect(same_file(first, second), "%s", p->name);
        nnc_trainer_options options = {.size = sizeof options, .init = first, .same_parts = true};
        nnc_trainer *trainer = make_trainer(context, program, &options);
        cr_assert_eq(nnc_trainer_save(trainer, second), NNC_OK);
        cr_expect(same_file(first, second), "%s through a trainer", p->name);
        cr_expect_eq(nnc_trainer_save(trainer, "/nonexistent/w.safetensors"), NNC_DATA);
        cr_expect_eq(nnc_trainer_save(trainer, NULL), NNC_ARGUMENT);
        nnc_trainer_release(trainer);
        nnc_program_release(program);
    }
    free(first);
    free(second);
    nnc_context_release(context);
}

Test(api, weights_that_do_not_fit)
{
    nnc_context *context = api_context(1);
    char *path = files_path(folder, "a.safetensors"), *bad = files_path(folder, "bad.safetensors");
    nnc_program *mlp = api_parse(context, api_text("mlp"), NULL),
                *cnn = api_parse(context, api_text("cnn"), NULL);
    nnc_program_options wide = {.size = sizeof wide, .f64 = true};
    nnc_program *mlp64 = api_parse(context, api_text("mlp"), &wide);
    save_trained(mlp, context, path, 0);
    files_write(bad, "no weights at all", 17);
    nnc_model *model = NULL;
    nnc_trainer *trainer = NULL;
    nnc_trainer_options options = {.size = sizeof options, .init = path};
    cr_expect_eq(nnc_model_load(cnn, NULL, path, &model), NNC_DATA);
    expect_said(context, "E0703");
    expect_said(context, "conv.weight");
    cr_expect_eq(nnc_trainer_new(cnn, NULL, &options, &trainer), NNC_DATA);
    options.init_partial = true;
    cr_expect_eq(nnc_trainer_new(cnn, NULL, &options, &trainer), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    nnc_trainer_release(trainer);
    trainer = NULL;
    options.init = bad;
    cr_expect_eq(nnc_trainer_new(cnn, NULL, &options, &trainer), NNC_DATA);
    cr_expect_eq(nnc_model_load(mlp, NULL, bad, &model), NNC_DATA);
    cr_expect_eq(nnc_model_load(mlp, NULL, "/nonexistent.safetensors", &model), NNC_DATA);
    expect_said(context, "/nonexistent.safetensors");
    cr_expect(model == NULL && trainer == NULL);
    cr_expect_eq(nnc_model_load(mlp64, NULL, path, &model), NNC_OK, "f32 becomes f64");
    nnc_model_release(model);
    free(path);
    free(bad);
    nnc_program_release(mlp);
    nnc_program_release(mlp64);
    nnc_program_release(cnn);
    nnc_context_release(context);
}

Test(api, tensors_of_a_model)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_text("mlp"), NULL);
    nnc_model *model = NULL;
    nnc_tensor *weight = NULL, *none = NULL, *output[2] = {NULL, NULL};
    cr_assert_eq(nnc_model_load(program, NULL, NULL, &model), NNC_OK);
    cr_expect_eq(nnc_model_tensor_count(model), 4);
    cr_expect_str_eq(nnc_model_tensor_name(model, 0), "fc1.weight");
    cr_expect_null(nnc_model_tensor_name(model, 4));
    cr_expect_eq(nnc_model_tensor(model, "fc1.weigth", &none), NNC_ARGUMENT);
    expect_said(context, "did you mean fc1.weight");
    cr_expect_eq(nnc_model_tensor(model, NULL, &none), NNC_ARGUMENT);
    cr_expect_null(none);
    cr_assert_eq(nnc_model_tensor(model, "fc2.weight", &weight), NNC_OK);
    cr_expect(nnc_tensor_size(weight, 0) == 3 && nnc_tensor_size(weight, 1) == 16);
    nnc_session *session = NULL;
    nnc_tensor *input = api_input(2, (int64_t[]){2, 5}, 1);
    cr_assert_eq(nnc_session_new(model, &session), NNC_OK);
    cr_assert_eq(nnc_session_run(session, &input, &output[0]), NNC_OK);
    memset(nnc_tensor_data(weight), 0, sizeof(float) * 48); /* the output is then the bias alone */
    cr_assert_eq(nnc_session_run(session, &input, &output[1]), NNC_OK);
    const float *before = nnc_tensor_data(output[0]), *after = nnc_tensor_data(output[1]);
    cr_expect_neq(before[0], after[0]);
    cr_expect(memcmp(after, after + 3, 3 * sizeof *after) == 0);
    nnc_session_release(session);
    nnc_model_release(model); /* the view of a weight keeps it */
    nnc_program_release(program);
    nnc_context_release(context);
    ((float *)nnc_tensor_data(weight))[47] = 1;
    nnc_tensor_release(weight);
    nnc_tensor_release(input);
    nnc_tensor_release(output[0]);
    nnc_tensor_release(output[1]);
}

/* ---- Sessions ---- */

Test(api, parents_may_go_first)
{
    nnc_context *context = api_context(2);
    nnc_program *program = api_parse(context, api_text("cnn"), NULL);
    nnc_trainer *trainer = make_trainer(context, program, NULL);
    nnc_model *model = NULL;
    nnc_session *session = NULL;
    cr_assert_eq(nnc_trainer_model(trainer, &model), NNC_OK);
    cr_assert_eq(nnc_session_new(model, &session), NNC_OK);
    nnc_context_release(context);
    nnc_program_release(program);
    nnc_trainer_release(trainer);
    nnc_model_release(model);
    nnc_tensor *input = api_input(4, (int64_t[]){3, 1, 8, 8}, 1), *output = NULL;
    cr_assert_eq(nnc_session_run(session, &input, &output), NNC_OK);
    cr_expect(nnc_tensor_size(output, 0) == 3 && nnc_tensor_size(output, 1) == 3);
    nnc_session_release(session);
    nnc_tensor_release(input);
    nnc_tensor_release(output);
}

Test(api, arguments_of_sessions)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_text("mlp"), NULL);
    nnc_session *session = api_session(program, NULL);
    cr_expect_eq(nnc_session_input_count(session), 1);
    cr_expect_str_eq(nnc_session_input_name(session, 0), "x");
    cr_expect_str_eq(nnc_session_input_shape(session, 0), "f32[B, 5]");
    cr_expect_eq(nnc_session_output_count(session), 1);
    cr_expect_str_eq(nnc_session_output_name(session, 0), "output");
    cr_expect_str_eq(nnc_session_output_shape(session, 0), "f32[B, 3]");
    cr_expect_null(nnc_session_input_name(session, 1));
    cr_expect_null(nnc_session_output_shape(session, 1));
    nnc_tensor *wrong[3], *output = NULL;
    wrong[0] = api_input(2, (int64_t[]){2, 6}, 1);
    wrong[1] = api_input(1, (int64_t[]){5}, 1);
    cr_assert_eq(nnc_tensor_new(NNC_F64, 2, (int64_t[]){2, 5}, &wrong[2]), NNC_OK);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(nnc_session_run(session, &wrong[i], &output), NNC_ARGUMENT, "input %d", i);
        expect_said(context, "x must be f32[B, 5], and is ");
        nnc_tensor_release(wrong[i]);
    }
    wrong[0] = NULL;
    cr_expect_eq(nnc_session_run(session, &wrong[0], &output), NNC_ARGUMENT);
    cr_expect_null(output);
    nnc_session_release(session);
    nnc_program_release(program);
    nnc_context_release(context);
}

/* Rows of the input by themselves give the rows of the output, to the bit. */
static void expect_rows(nnc_session *session, int rank, const int64_t *sizes, const char *name)
{
    nnc_tensor *input = api_input(rank, sizes, 5), *output = NULL;
    cr_assert_eq(nnc_session_run(session, &input, &output), NNC_OK);
    for (int64_t i = 0; i < nnc_tensor_elements(output); i++)
        cr_assert(isfinite(((float *)nnc_tensor_data(output))[i]), "%s", name);
    int64_t in = nnc_tensor_elements(input) / sizes[0],
            out = nnc_tensor_elements(output) / sizes[0], one[4] = {1};
    memcpy(one + 1, sizes + 1, sizeof *one * (size_t)(rank - 1));
    for (int64_t row = 0; row < sizes[0]; row++) {
        nnc_tensor *alone = NULL, *answer = NULL;
        cr_assert_eq(
            nnc_tensor_wrap(NNC_F32, rank, one, (float *)nnc_tensor_data(input) + row * in, &alone),
            NNC_OK);
        cr_assert_eq(nnc_session_run(session, &alone, &answer), NNC_OK);
        cr_expect(memcmp(nnc_tensor_data(answer), (float *)nnc_tensor_data(output) + row * out,
                         sizeof(float) * (size_t)out) == 0,
                  "row %lld of %lld, %s", (long long)row, (long long)sizes[0], name);
        nnc_tensor_release(alone);
        nnc_tensor_release(answer);
    }
    nnc_tensor_release(input);
    nnc_tensor_release(output);
}

Test(api, a_row_does_not_depend_on_its_batch)
{
    static const struct {
        const char *name;
        int rank;
        int64_t row[3];
    } models[] = {{"mlp", 2, {5}}, {"cnn", 4, {1, 8, 8}}, {"residual", 2, {6}}};
    static const int64_t batches[] = {2, 7, 32, 33};
    nnc_context *context = api_context(2);
    for (int m = 0; m < 3; m++) {
        nnc_program *program = api_parse(context, api_text(models[m].name), NULL);
        nnc_session *session = api_session(program, NULL);
        for (int b = 0; b < 4; b++)
            expect_rows(
                session, models[m].rank,
                (int64_t[]){batches[b], models[m].row[0], models[m].row[1], models[m].row[2]},
                models[m].name);
        nnc_session_release(session);
        nnc_program_release(program);
    }
    nnc_context_release(context);
}

Test(api, a_batch_of_no_rows)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        nnc_context *context = api_context(1);
        nnc_program_options options = {.size = sizeof options, .interpret = interpret};
        nnc_program *program = api_parse(context, api_text("cnn"), &options);
        nnc_session *session = api_session(program, NULL);
        nnc_tensor *input = api_input(4, (int64_t[]){0, 1, 8, 8}, 1), *output = NULL;
        cr_expect_eq(nnc_session_run(session, &input, &output), NNC_OK, "%s",
                     nnc_diagnostics(context, NNC_TEXT));
        cr_expect(nnc_tensor_size(output, 0) == 0 && nnc_tensor_size(output, 1) == 3);
        nnc_tensor_release(input);
        nnc_tensor_release(output);
        nnc_session_release(session);
        nnc_program_release(program);
        nnc_context_release(context);
    }
}

/* ---- Sizes and memory at run time ---- */

static const char open_program[] =
    "from nn import Linear\nfrom losses import mse\nfrom optim import sgd\n"
    "fn four(x: f32[4, 3]) -> f32[4, 3] { 2.0 * x }\n"
    "module Net { let fc = Linear(3, 1)\n fn (x: f32[B, 3]) -> f32[B, 1] { fc(x) + 0.1 * "
    "mean(four(x)) } }\n"
    "dataset d { source = arrays(x=rand(10, 3, seed=1), y=rand(10, 1, seed=2))\n fields = [x: "
    "f32[3], y: f32[1]] }\n"
    "train t on d { model = Net()\n loss = mse(model(x), y)\n optimizer = sgd(lr=0.01)\n batch = 4 "
    "}\n";

Test(api, open_relations_of_sizes_are_checked_before_a_call)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        nnc_context *context = api_context(1);
        nnc_program_options options = {.size = sizeof options, .interpret = interpret};
        nnc_program *program = api_parse(context, open_program, &options);
        nnc_session *session = api_session(program, NULL);
        nnc_tensor *four = api_input(2, (int64_t[]){4, 3}, 1),
                   *five = api_input(2, (int64_t[]){5, 3}, 1), *output = NULL;
        cr_expect_eq(nnc_session_run(session, &five, &output), NNC_DATA);
        cr_expect_null(output);
        expect_said(context, "E0803");
        expect_said(context, "test.nn:");
        cr_expect_eq(nnc_session_run(session, &four, &output), NNC_OK);
        nnc_trainer *trainer = make_trainer(context, program, NULL);
        cr_expect_eq(nnc_trainer_run(trainer), NNC_DATA, "the last batch has 2 rows");
        expect_said(context, "2 rows");
        nnc_trainer_release(trainer);
        nnc_tensor_release(four);
        nnc_tensor_release(five);
        nnc_tensor_release(output);
        nnc_session_release(session);
        nnc_program_release(program);
        nnc_context_release(context);
    }
}

static const char even_program[] =
    "from nn import Linear\nfrom losses import mse\nfrom optim import sgd\n"
    "module Net { let fc = Linear(3, 2)\n fn (x: f32[B, 3]) -> f32[B, 2] {\n"
    "  let a = reshape(fc(x), B//2, 4)\n let b, c = split(reshape(a, -1, 2), 2)\n"
    "  concat([c, b]) * ones(B//2*2, 1) } }\n"
    "dataset d { source = arrays(x=rand(12, 3, seed=1), y=rand(12, 2, seed=2))\n fields = [x: "
    "f32[3], y: f32[2]] }\n"
    "train t on d { model = Net()\n loss = mse(model(x), y)\n optimizer = sgd(lr=0.01)\n batch = 4 "
    "\n epochs = 2 }\n";

/* The rows of a batch of 4 come back with their halves exchanged: rows 2, 3, 0, 1. */
Test(api, settled_sizes_give_the_same_bits_compiled_and_interpreted)
{
    double loss[2];
    for (int interpret = 0; interpret < 2; interpret++) {
        nnc_context *context = api_context(1);
        nnc_program_options options = {.size = sizeof options, .interpret = interpret};
        nnc_program *program = api_parse(context, even_program, &options);
        nnc_session *session = api_session(program, NULL);
        nnc_tensor *four = api_input(2, (int64_t[]){4, 3}, 1),
                   *two = api_input(2, (int64_t[]){2, 3}, 1),
                   *five = api_input(2, (int64_t[]){5, 3}, 1), *output = NULL, *first = NULL;
        cr_expect_eq(nnc_session_run(session, &five, &output), NNC_DATA);
        cr_expect_null(output);
        expect_said(context, "E0803");
        expect_said(context, "5 rows");
        cr_assert_eq(nnc_session_run(session, &four, &output), NNC_OK);
        cr_assert_eq(nnc_session_run(session, &two, &first), NNC_OK);
        const float *all = nnc_tensor_data(output), *pair = nnc_tensor_data(first);
        for (int i = 0; i < 2; i++) /* rows 0, 1 of the input: places 2, 3 of four, 1, 0 of two */
            cr_expect(all[4 + i] == pair[2 + i] && all[6 + i] == pair[i]);
        nnc_trainer *trainer = make_trainer(context, program, NULL);
        cr_expect_eq(nnc_trainer_run(trainer), NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
        const nnc_metric *metrics = NULL;
        size_t count = 0;
        cr_assert_eq(nnc_trainer_evaluate(trainer, NNC_PART_TRAIN, &metrics, &count), NNC_OK);
        loss[interpret] = metrics[0].value;
        nnc_trainer_release(trainer);
        nnc_tensor_release(four);
        nnc_tensor_release(two);
        nnc_tensor_release(five);
        nnc_tensor_release(output);
        nnc_tensor_release(first);
        nnc_session_release(session);
        nnc_program_release(program);
        nnc_context_release(context);
    }
    cr_expect(loss[0] == loss[1]);
}

static const char huge[] =
    "from nn import Linear\nfrom losses import mse\nfrom optim import sgd\n"
    "module Net { let fc = Linear(1, 1)\n"
    "  fn (x: f32[B, 1]) -> f32[B, 1] { let y = cumsum(fc(x) * ones(1, 200000000000), axis=1)\n"
    "    y[.., 0..1] + sum(y, axis=1, keep=true) } }\n"
    "dataset d { source = arrays(x=rand(4, 1, seed=1), y=rand(4, 1, seed=2))\n fields = [x: "
    "f32[1], y: f32[1]] }\n"
    "train t on d { model = Net()\n loss = mse(model(x), y)\n optimizer = sgd(lr=0.01)\n batch = 4 "
    "}\n";

/* The address sanitizer would end the process in place of refusing. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

Test(api, memory_that_is_refused_is_named)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, huge, NULL);
    nnc_trainer *trainer = make_trainer(context, program, NULL);
    cr_expect_eq(nnc_trainer_run(trainer), NNC_MEMORY);
    expect_said(context, "E0804");
    expect_said(context, "bytes");
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}

static const char huge_data[] =
    "from nn import Linear\nfrom losses import mse\nfrom optim import sgd\n"
    "module Net { let fc = Linear(100000, 1)\n fn (x: f32[B, 100000]) { fc(x) } }\n"
    "dataset d { source = arrays(x=rand(9000000, 100000, seed=1), y=rand(9000000, 1, seed=2))\n"
    "    fields = [x: f32[100000], y: f32[1]] }\n"
    "train t on d { model = Net()\n loss = mse(model(x), y)\n optimizer = sgd(lr=0.01) }\n";

Test(api, data_that_is_too_much_is_refused)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, huge_data, NULL);
    nnc_trainer *trainer = NULL;
    cr_expect_eq(nnc_trainer_new(program, NULL, NULL, &trainer), NNC_MEMORY);
    expect_said(context, "test.nn:6:");
    cr_expect_null(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}

static const char several[] =
    "from nn import Linear\nfrom losses import mse\nfrom optim import sgd\n"
    "module Net {\n    let fc = Linear(3, 2)\n"
    "    fn (a: f32[B, 3], b: f32[B]) -> (sum: f32[B, 2], scaled: f32[B]) {\n"
    "        (fc(a) + unsqueeze(b, 1), 2.0 * b)\n    }\n}\n"
    "dataset d {\n    source = arrays(a=rand(8, 3, seed=1), b=randint(0, 9, 8, seed=2))\n"
    "    fields = [a: f32[3], b: i32]\n"
    "    fn map(a, b) -> (a: f32[3], b: f32) { (a, f32(b)) }\n}\n"
    "train t on d {\n    model = Net()\n    loss = mse(model(a, b)[0], a[.., 0..2])\n"
    "    optimizer = sgd(lr=0.01)\n}\n";

Test(api, several_inputs_and_outputs)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, several, NULL);
    nnc_session *session = api_session(program, NULL);
    cr_assert_eq(nnc_session_input_count(session), 2);
    cr_assert_eq(nnc_session_output_count(session), 2);
    cr_expect_str_eq(nnc_session_input_shape(session, 1), "i32[B]");
    cr_expect_str_eq(nnc_session_output_name(session, 0), "sum");
    cr_expect_str_eq(nnc_session_output_name(session, 1), "scaled");
    int32_t numbers[4] = {1, 2, 3, 4};
    nnc_tensor *inputs[2] = {api_input(2, (int64_t[]){4, 3}, 1), NULL}, *outputs[2] = {NULL, NULL};
    cr_assert_eq(nnc_tensor_wrap(NNC_I32, 1, (int64_t[]){4}, numbers, &inputs[1]), NNC_OK);
    cr_assert_eq(nnc_session_run(session, inputs, outputs), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    for (int i = 0; i < 4; i++)
        cr_expect_eq(((float *)nnc_tensor_data(outputs[1]))[i], 2.0f * (float)numbers[i]);
    cr_expect(nnc_tensor_rank(outputs[0]) == 2 && nnc_tensor_size(outputs[0], 1) == 2);
    nnc_tensor_release(inputs[1]); /* as many rows as the first input */
    cr_assert_eq(nnc_tensor_wrap(NNC_I32, 1, (int64_t[]){3}, numbers, &inputs[1]), NNC_OK);
    nnc_tensor *none[2] = {NULL, NULL};
    cr_expect_eq(nnc_session_run(session, inputs, none), NNC_ARGUMENT);
    expect_said(context, "input b must be i32[B], and is i32[3]");
    cr_expect(!none[0] && !none[1]);
    for (int i = 0; i < 2; i++) {
        nnc_tensor_release(inputs[i]);
        nnc_tensor_release(outputs[i]);
    }
    nnc_session_release(session);
    nnc_program_release(program);
    nnc_context_release(context);
}

/* A host may check as many texts as it likes in one context: those of programs that are gone go
 * with the next call, and errors stay readable until then. */
Test(api, many_programs_in_one_context)
{
    nnc_context *context = api_context(1);
    nnc_program *kept = api_parse(context, api_text("mlp"), NULL);
    for (int i = 0; i < 200; i++) {
        nnc_program *program = NULL;
        char text[80];
        snprintf(text, sizeof text, "const a%d = nothing_%d\n", i, i);
        cr_assert_eq(nnc_program_parse(context, "wrong.nn", text, NULL, &program), NNC_PROGRAM);
        snprintf(text, sizeof text, "nothing_%d\n", i);
        expect_said(context, text);
        expect_said(context, "wrong.nn:1:");
        nnc_program_release(api_parse(context, api_text("mlp"), NULL));
    }
    nnc_trainer *trainer = make_trainer(context, kept, NULL);
    nnc_trainer_release(trainer);
    nnc_program_release(kept);
    nnc_context_release(context);
}
