/* One program of nnc under measurement: a child of `compare`, which speaks to it in lines
 * (README.md).
 *
 *   worker MODE PROGRAM THREADS FOLDER [NAME=VALUE ...]
 *
 * MODE `train`: a step of the first train block on its first batch, which stays in memory.
 * `infer`: the model's answer to the batch of FOLDER. `export` and `export-infer` write the
 * initial weights and a batch there, for peers to load, and end. `limits` and `limits-infer` end
 * after one line: what `nnc time` says about the same function, kernel by kernel in
 * FOLDER/time.json.
 *
 *   -> check 2.31023 2.29845 2.28113       losses of the first steps, or what stands for them
 *   -> limits 2.31 4194304 1048576         roofline in ms, bytes of arguments, bytes of the rest
 *   <- run 0.5 1000                        samples for half a second, at most a thousand
 *   -> time 412 0.00118 0.00121            steps, the least and the median of their seconds */
#include "compiler/driver/trainer_handle.h"
#include "compiler/driver/weights.h"
#include "runtime/base/file.h"
#include "runtime/tensor/safetensors.h"
#include "runtime/train/trainer_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHECKS = 3, MAX_FIELDS = 8, MAX_SAMPLES = 1 << 20 };
#define SAMPLE_SECONDS 500e-6

typedef struct {
    int threads;
    nnc_context *context;
    nnc_program *program;
    nnc_trainer *trainer; /* train */
    nnc_session *session; /* infer */
    nnc_tensor *inputs[MAX_FIELDS], *outputs[MAX_FIELDS];
    size_t input_count, output_count;
} Worker;

static void give_up(const Worker *worker, const char *what)
{
    const char *why = worker->context ? nnc_diagnostics(worker->context, NNC_TEXT) : "";
    fprintf(stderr, "worker: %s\n%s", what, why);
    exit(1);
}

static void need(const Worker *worker, nnc_status status, const char *what)
{
    if (status != NNC_OK)
        give_up(worker, what);
}

static const char *in_folder(char *path, size_t size, const char *folder, const char *name)
{
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* ---- steps ---- */

static void answer(Worker *worker)
{
    for (size_t i = 0; i < worker->output_count; i++)
        nnc_tensor_release(worker->outputs[i]);
    need(worker, nnc_session_run(worker->session, worker->inputs, worker->outputs), "session");
}

static void step(Worker *worker)
{
    if (worker->session) {
        answer(worker);
        return;
    }
    Trainer *trainer = worker->trainer->run.trainer;
    int64_t rows;
    need(worker, step_call(trainer, NULL, 0, &rows), "step");
    trainer->step++;
}

/* Of a training step its loss; of an answer the mean and the mean square of all its elements. */
static void print_checks(Worker *worker)
{
    step(worker);
    printf("first\n");
    fflush(stdout);
    if (!worker->session) {
        const Trainer *trainer = worker->trainer->run.trainer;
        printf("check %.9g", step_output(trainer, "loss"));
        for (int i = 1; i < CHECKS; i++) {
            step(worker);
            printf(" %.9g", step_output(trainer, "loss"));
        }
        printf("\n");
        return;
    }
    const float *data = nnc_tensor_data(worker->outputs[0]);
    int64_t count = nnc_tensor_elements(worker->outputs[0]);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += data[i];
        squares += (double)data[i] * data[i];
    }
    printf("check %.9g %.9g\n", sum / (double)count, squares / (double)count);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Time of the processor on one thread, which neighbours on a shared machine disturb little; time
 * that passes on several. */
static double clock_of(const Worker *worker)
{
    struct timespec t;
    clock_gettime(worker->threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of a step, over as many steps as take SAMPLE_SECONDS, or over *steps of them. */
static double sample(Worker *worker, int *steps)
{
    double begin = clock_of(worker), end = begin;
    int done = 0;
    while (*steps ? done < *steps : end - begin < SAMPLE_SECONDS) {
        step(worker);
        done++;
        if (!*steps || done == *steps)
            end = clock_of(worker);
    }
    *steps = done;
    return (end - begin) / done;
}

/* The first sample finds how many steps a sample has, and counts when it is one. */
static void run_steps(Worker *worker, double limit, int most)
{
    double *times = calloc((size_t)most + 1, sizeof *times);
    int samples = 0, group = 0;
    double stop = now_seconds() + limit;
    if (!times)
        give_up(worker, "memory");
    times[0] = sample(worker, &group);
    samples += group == 1;
    while (samples == 0 || (samples < most && now_seconds() < stop))
        times[samples++] = sample(worker, &group);
    qsort(times, (size_t)samples, sizeof *times, compare_doubles);
    printf("time %d %.9g %.9g\n", samples * group, times[0], times[samples / 2]);
    free(times);
}

static void serve(Worker *worker)
{
    char line[128];
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double seconds = 0;
        int most = 0;
        if (sscanf(line, "run %lf %d", &seconds, &most) != 2 || most < 1 || most > MAX_SAMPLES)
            return;
        run_steps(worker, seconds, most);
        fflush(stdout);
    }
}

/* ---- files for peers ---- */

static void export_batch(const Worker *worker, const char *folder)
{
    const DataTable *table = worker->trainer->run.spec.parts[NNC_PART_TRAIN].table;
    SafeEntry entries[MAX_FIELDS];
    int count = table->column_count < MAX_FIELDS ? table->column_count : MAX_FIELDS;
    char path[4096];
    for (int i = 0; i < count; i++) {
        const DataColumn *column = &table->columns[i];
        entries[i] = (SafeEntry){.name = column->name,
                                 .dtype = column->dtype,
                                 .rank = column->rank + 1,
                                 .sizes = {table->rows},
                                 .data = column->data};
        memcpy(entries[i].sizes + 1, column->sizes, sizeof *column->sizes * (size_t)column->rank);
    }
    in_folder(path, sizeof path, folder, "batch.safetensors");
    if (!safetensors_write(path, entries, count, NULL, 0, worker->context->diag, (Span){0}))
        give_up(worker, path);
}

/* Numbers of a fixed sequence in [-1, 1), or tokens below 1000. */
static nnc_tensor *made_input(const Worker *worker, const char *shape, int64_t batch)
{
    char type[8];
    int64_t sizes[8] = {batch};
    int rank = 1;
    if (sscanf(shape, "%7[a-z0-9]", type) != 1)
        give_up(worker, shape);
    const char *at = strchr(shape, ',');
    for (; at && rank < 8; at = strchr(at + 1, ','))
        sizes[rank++] = strtoll(at + 1, NULL, 10);
    bool whole = type[0] == 'i';
    nnc_tensor *tensor = NULL;
    need(worker, nnc_tensor_new(whole ? NNC_I32 : NNC_F32, rank, sizes, &tensor), "input");
    uint32_t state = 12345;
    for (int64_t i = 0, n = nnc_tensor_elements(tensor); i < n; i++) {
        state = state * 1664525u + 1013904223u;
        if (whole)
            ((int32_t *)nnc_tensor_data(tensor))[i] = (int32_t)((state >> 8) % 1000);
        else
            ((float *)nnc_tensor_data(tensor))[i] = (float)(state >> 8) / 8388608.0f - 1;
    }
    return tensor;
}

static void open_session(Worker *worker, const char *folder, bool with_weights, int64_t batch)
{
    nnc_model *model;
    char path[4096];
    in_folder(path, sizeof path, folder, "weights.safetensors");
    need(worker, nnc_model_load(worker->program, NULL, with_weights ? path : NULL, &model),
         "model");
    if (!with_weights)
        need(worker, nnc_model_save(model, path), path);
    need(worker, nnc_session_new(model, &worker->session), "session");
    nnc_model_release(model);
    worker->input_count = nnc_session_input_count(worker->session);
    worker->output_count = nnc_session_output_count(worker->session);
    if (worker->input_count > MAX_FIELDS || worker->output_count > MAX_FIELDS)
        give_up(worker, "too many inputs");
    for (size_t i = 0; i < worker->input_count; i++)
        worker->inputs[i] = made_input(worker, nnc_session_input_shape(worker->session, i), batch);
}

static void export_inputs(const Worker *worker, const char *folder)
{
    SafeEntry entries[MAX_FIELDS];
    char path[4096];
    for (size_t i = 0; i < worker->input_count; i++) {
        nnc_tensor *tensor = worker->inputs[i];
        entries[i] = (SafeEntry){.name = nnc_session_input_name(worker->session, i),
                                 .dtype = tensor->dtype,
                                 .rank = tensor->rank,
                                 .data = tensor->data};
        memcpy(entries[i].sizes, tensor->sizes, sizeof entries[i].sizes);
    }
    in_folder(path, sizeof path, folder, "batch.safetensors");
    if (!safetensors_write(path, entries, (int)worker->input_count, NULL, 0, worker->context->diag,
                           (Span){0}))
        give_up(worker, path);
}

/* ---- limits ---- */

static double number_of(const char *json, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\": ", name);
    const char *at = strstr(json, key);
    return at ? strtod(at + strlen(key), NULL) : 0;
}

static void print_limits(const Worker *worker, const char *folder, bool infers)
{
    nnc_time_options options = {.size = sizeof options,
                                .function = infers ? "forward" : "train",
                                .steps = 3,
                                .format = NNC_JSON};
    char *text, path[4096];
    need(worker, nnc_program_time(worker->program, NULL, &options, &text), "time");
    printf("limits %.9g %.0f %.0f\n", number_of(text, "roofline_ms"),
           number_of(text, "argument_bytes"), number_of(text, "live_bytes"));
    if (!file_replace(in_folder(path, sizeof path, folder, "time.json"), text, strlen(text)))
        give_up(worker, path);
    nnc_free(text);
}

/* ---- the command line ---- */

static void open_program(Worker *worker, int argc, char **argv)
{
    nnc_context_options context = {.size = sizeof context, .threads = worker->threads};
    nnc_program_options options = {.size = sizeof options,
                                   .defines = (const char *const *)argv + 5,
                                   .define_count = (size_t)(argc - 5)};
    if (nnc_context_new(&context, &worker->context) != NNC_OK)
        give_up(worker, "context");
    need(worker, nnc_program_load(worker->context, argv[2], &options, &worker->program), argv[2]);
}

static int64_t rows_of(int argc, char **argv)
{
    for (int i = 5; i < argc; i++)
        if (strncmp(argv[i], "rows=", 5) == 0)
            return atoll(argv[i] + 5);
    return 1;
}

int main(int argc, char **argv)
{
    Worker worker = {.threads = argc > 3 ? atoi(argv[3]) : 1};
    if (argc < 5) {
        fprintf(stderr, "worker MODE PROGRAM THREADS FOLDER [NAME=VALUE ...]\n");
        return 1;
    }
    const char *mode = argv[1], *folder = argv[4];
    bool infers = strstr(mode, "infer") != NULL, exports = strncmp(mode, "export", 6) == 0;
    open_program(&worker, argc, argv);
    if (strncmp(mode, "limits", 6) == 0) {
        print_limits(&worker, folder, infers);
        return 0;
    }
    if (infers)
        open_session(&worker, folder, !exports, rows_of(argc, argv));
    else
        need(&worker, nnc_trainer_new(worker.program, NULL, NULL, &worker.trainer), "trainer");
    if (exports && infers) {
        export_inputs(&worker, folder);
    } else if (exports) {
        char path[4096];
        in_folder(path, sizeof path, folder, "weights.safetensors");
        need(&worker, nnc_trainer_save(worker.trainer, path), path);
        export_batch(&worker, folder);
    } else {
        print_checks(&worker);
        serve(&worker);
    }
    return 0;
}
