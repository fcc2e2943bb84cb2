/* Epochs and steps. The position in the data is (epoch, index) under a stateless permutation, so
 * nothing random has to be remembered: a run that goes on elsewhere needs its tensors, the
 * number of steps and epochs, and what early stopping knows (checkpoint.c). */
#include "runtime/train/trainer_private.h"

#include "runtime/base/rng.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static int64_t rows_of_step(const TrainSpec *spec)
{
    return spec->batch * (spec->accumulate > 1 ? spec->accumulate : 1);
}

/* A model that only predicts has no batch. */
int64_t steps_of_epoch(const TrainSpec *spec)
{
    int64_t rows = spec->parts[NNC_PART_TRAIN].count, each = rows_of_step(spec);
    if (each <= 0)
        return 0;
    return rows / each + (!spec->drop_last && rows % each != 0);
}

/* None when an epoch has no step (no rows, or fewer than a batch that may not be short). */
int64_t trainer_planned_steps(const TrainSpec *spec)
{
    int64_t each = steps_of_epoch(spec), steps;
    if (spec->steps > 0 && each > 0)
        return spec->steps;
    return __builtin_mul_overflow(spec->epochs, each, &steps) ? INT64_MAX : steps;
}

static int64_t planned_epochs(const TrainSpec *spec)
{
    int64_t each = steps_of_epoch(spec);
    return spec->steps > 0 && each > 0 ? (spec->steps + each - 1) / each : spec->epochs;
}

static double binding_scalar(const Binding *binding, const char *name)
{
    int arg = function_arg(binding->function, ARG_OUTPUT, name);
    if (arg < 0)
        return NAN;
    double value;
    scalar_convert(binding->function->args[arg].dtype, DT_F64, binding->buffers[arg], &value, 1);
    return value;
}

double step_output(const Trainer *trainer, const char *name)
{
    if (strcmp(name, "loss") == 0)
        return trainer->mean_loss;
    return binding_scalar(trainer->spec->apply ? &trainer->apply : &trainer->train, name);
}

static void send(Trainer *trainer, nnc_event *event)
{
    event->file = trainer->spec->file;
    event->block = trainer->spec->block;
    event->steps = trainer->total_steps;
    event->epochs = planned_epochs(trainer->spec);
    if (trainer->on_event)
        trainer->on_event(trainer->event_user, event);
}

static void send_start(Trainer *trainer)
{
    const TrainSpec *spec = trainer->spec;
    nnc_event event = {
        .kind = NNC_EVENT_START,
        .seed = spec->seed,
        .threads = spec->threads,
        .kernels = spec->kernel_count,
        .compile_ms = spec->compile_ms,
        .arena_bytes = spec->arena_bytes,
        .examples_train = spec->parts[NNC_PART_TRAIN].count,
        .examples_valid = spec->parts[NNC_PART_VALID].count,
        .examples_test = spec->parts[NNC_PART_TEST].count,
        .resumed = trainer->resumed,
    };
    for (int i = 0; i < spec->tensor_count; i++)
        if (spec->tensors[i].role == ROLE_PARAM)
            event.parameters +=
                (int64_t)(tensor_bytes(&spec->tensors[i]) / dtype_bytes(spec->tensors[i].dtype));
    send(trainer, &event);
}

typedef struct {
    int64_t *order;  /* of the rows, NULL: as they are */
    double *step_ms; /* of the steps since `begun` */
    int64_t steps, done;
    int64_t begun; /* steps done by an earlier call or process, which was interrupted */
    double seconds;
} Epoch;

static bool epoch_open(Trainer *trainer, Epoch *epoch, int64_t number)
{
    const TrainSpec *spec = trainer->spec;
    int64_t rows = spec->parts[NNC_PART_TRAIN].count;
    *epoch = (Epoch){.steps = steps_of_epoch(spec)};
    epoch->begun = epoch->done = trainer->step - number * epoch->steps;
    if (trainer->total_steps - trainer->step < epoch->steps - epoch->begun)
        epoch->steps = epoch->begun + trainer->total_steps - trainer->step;
    epoch->step_ms = malloc(sizeof *epoch->step_ms * (size_t)(epoch->steps + 1));
    if (spec->shuffle)
        epoch->order = malloc(sizeof *epoch->order * (size_t)(rows + 1));
    if (!epoch->step_ms || (spec->shuffle && !epoch->order))
        return false;
    for (int64_t i = 0; spec->shuffle && i < rows; i++)
        epoch->order[i] =
            (int64_t)rng_permute(spec->seed, (uint64_t)number, (uint64_t)rows, (uint64_t)i);
    return true;
}

/* The batches of the rest of the epoch, ahead of its steps. */
static void begin_loading(const Trainer *trainer, const Epoch *epoch, int64_t number)
{
    const TrainSpec *spec = trainer->spec;
    const DataPart *part = &spec->parts[NNC_PART_TRAIN];
    int64_t each = spec->accumulate > 1 ? spec->accumulate : 1;
    int64_t batches = part->count / spec->batch + (part->count % spec->batch != 0);
    int64_t end = epoch->steps * each < batches ? epoch->steps * each : batches;
    if (trainer->loader)
        loader_begin(trainer->loader, part, epoch->order, (uint64_t)number, epoch->begun * each,
                     end);
}

static void epoch_close(const Trainer *trainer, Epoch *epoch)
{
    loader_end(trainer->loader);
    free(epoch->order);
    free(epoch->step_ms);
}

/* Rows first .. first+rows of the order through `train`. */
static nnc_status train_batch(Trainer *trainer, const int64_t *order, int64_t first, int64_t rows)
{
    const DataPart *part = &trainer->spec->parts[NNC_PART_TRAIN];
    DataPart batch = *part;
    if (!order && part->rows)
        batch.rows += first;
    trainer->batch_rows = rows;
    nnc_status status = binding_fill(&trainer->train, part, order, first, rows);
    if (status != NNC_OK)
        return status;
    return binding_call(trainer, &trainer->train, rows, &batch, order ? order + first : NULL);
}

/* The loss of a step is the mean over the rows of its batches; a batch without a finite loss is
 * the last. */
nnc_status step_call(Trainer *trainer, const int64_t *order, int64_t index, int64_t *rows)
{
    const TrainSpec *spec = trainer->spec;
    int64_t first = index * rows_of_step(spec), done = 0;
    int64_t left = spec->parts[NNC_PART_TRAIN].count - first;
    nnc_status status = NNC_OK;
    double sum = 0;
    *rows = left < rows_of_step(spec) ? left : rows_of_step(spec);
    for (trainer->micro = 0; done < *rows; trainer->micro++) {
        int64_t count = *rows - done < spec->batch ? *rows - done : spec->batch;
        status = train_batch(trainer, order, first + done, count);
        trainer->mean_loss = binding_scalar(&trainer->train, "loss");
        if (status != NNC_OK || !isfinite(trainer->mean_loss))
            return status;
        sum += trainer->mean_loss * (double)count;
        done += count;
    }
    trainer->micro = 0;
    if (!spec->apply)
        return NNC_OK;
    trainer->mean_loss = sum / (double)*rows;
    return binding_call(trainer, &trainer->apply, 0, NULL, NULL);
}

static nnc_status train_step(Trainer *trainer, Epoch *epoch, int64_t number)
{
    int64_t rows;
    double begin = now_seconds();
    nnc_status status = step_call(trainer, epoch->order, epoch->done, &rows);
    if (status != NNC_OK)
        return status;
    double loss = step_output(trainer, "loss");
    if (!isfinite(loss))
        return diverged(trainer, epoch->order, trainer->step + 1);
    trainer->loss = loss;
    trainer->lr = step_output(trainer, "lr");
    double seconds = now_seconds() - begin;
    epoch->seconds += seconds;
    epoch->step_ms[epoch->done++ - epoch->begun] = seconds * 1e3;
    trainer->step++;
    nnc_debug debug[DEBUG_MAX];
    size_t debug_count = debug_collect(&trainer->train, trainer->step, debug);
    send(trainer, &(nnc_event){.kind = NNC_EVENT_STEP,
                               .debug = debug,
                               .debug_count = debug_count,
                               .step = trainer->step,
                               .epoch = number + 1,
                               .step_of_epoch = epoch->done,
                               .steps_of_epoch = epoch->steps,
                               .rows = rows,
                               .loss = trainer->loss,
                               .lr = trainer->lr,
                               .seconds = epoch->seconds,
                               .waiting_seconds = loader_waited(trainer->loader)});
    return NNC_OK;
}

static void at_moment(Trainer *trainer, TrainMoment moment)
{
    if (trainer->on_moment)
        trainer->on_moment(trainer->moment_user, moment);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Is the monitored metric better than at any earlier epoch? Without validation rows the training
 * part is watched. */
static bool note_improvement(Trainer *trainer)
{
    const TrainSpec *spec = trainer->spec;
    nnc_part part = spec->parts[spec->monitor_part].count ? spec->monitor_part : NNC_PART_TRAIN;
    const MetricSet *set = &trainer->sets[part];
    if (set->count == 0)
        return false;
    double value = set->items[spec->monitor].value;
    double gain = spec->metrics[spec->monitor].higher_is_better ? value - trainer->best_value
                                                                : trainer->best_value - value;
    if (isnan(value) || (trainer->has_best && !(gain > spec->min_delta))) {
        trainer->epochs_since_best++;
        return false;
    }
    trainer->best_value = value;
    trainer->best_step = trainer->step;
    trainer->has_best = true;
    trainer->epochs_since_best = 0;
    return true;
}

/* Schedules that watch a metric learn what it is now. */
static nnc_status tell_schedules(Trainer *trainer)
{
    const int count = trainer->spec->metric_count;
    if (!trainer->spec->after_epoch)
        return NNC_OK;
    for (int part = 0; part < PART_COUNT; part++)
        for (int i = 0; i < count; i++) {
            const MetricSet *set = &trainer->sets[part];
            trainer->watched[part * count + i] =
                (size_t)i < set->count ? set->items[i].value : NAN;
        }
    return binding_call(trainer, &trainer->after_epoch, 0, NULL, NULL);
}

static nnc_status finish_epoch(Trainer *trainer, Epoch *epoch, int64_t number)
{
    const TrainSpec *spec = trainer->spec;
    nnc_event event = {.kind = NNC_EVENT_EPOCH,
                       .step = trainer->step,
                       .epoch = number + 1,
                       .step_of_epoch = epoch->done,
                       .steps_of_epoch = epoch->steps,
                       .loss = trainer->loss,
                       .lr = trainer->lr,
                       .seconds = epoch->seconds,
                       .waiting_seconds = loader_waited(trainer->loader)};
    /* A loss shows what the steps before it did to the weights; the last step of an epoch has
     * none after it. */
    if (step_is_bad(trainer, 0, NULL))
        return diverged(trainer, epoch->order, trainer->step);
    nnc_status status = metrics_collect(trainer, NNC_PART_TRAIN);
    if (status != NNC_OK)
        return status;
    double begin = now_seconds();
    if (spec->parts[NNC_PART_VALID].count > 0)
        status = evaluate_part(trainer, NNC_PART_VALID);
    if (status != NNC_OK)
        return status;
    event.valid_seconds = now_seconds() - begin;
    status = tell_schedules(trainer);
    if (status != NNC_OK)
        return status;
    int64_t timed = epoch->done - epoch->begun;
    qsort(epoch->step_ms, (size_t)timed, sizeof *epoch->step_ms, compare_doubles);
    if (timed > 0) {
        event.step_ms_min = epoch->step_ms[0];
        event.step_ms_median = epoch->step_ms[timed / 2];
        event.step_ms_max = epoch->step_ms[timed - 1];
    }
    event.improved = note_improvement(trainer);
    if (event.improved && spec->patience > 0 && !tensors_copy(trainer, COPY_MODEL, &trainer->best))
        return NNC_MEMORY;
    event.train = trainer->sets[NNC_PART_TRAIN].items;
    event.train_count = trainer->sets[NNC_PART_TRAIN].count;
    event.valid = trainer->sets[NNC_PART_VALID].items;
    event.valid_count = trainer->sets[NNC_PART_VALID].count;
    trainer->epoch++; /* a checkpoint that the host makes at the event is of a finished epoch */
    send(trainer, &event);
    at_moment(trainer, MOMENT_EPOCH);
    return NNC_OK;
}

static nnc_status run_epoch(Trainer *trainer, int64_t number)
{
    Epoch epoch;
    nnc_status status = NNC_OK;
    if (!epoch_open(trainer, &epoch, number) || !snapshot_take(trainer)) {
        epoch_close(trainer, &epoch);
        return NNC_MEMORY;
    }
    begin_loading(trainer, &epoch, number);
    if (epoch.begun == 0)
        metrics_reset(trainer);
    while (status == NNC_OK && epoch.done < epoch.steps) {
        bool old = trainer->step - trainer->snapshot_step >= SNAPSHOT_STEPS;
        if (old && !snapshot_take(trainer))
            status = NNC_MEMORY;
        else
            status =
                atomic_load(&trainer->stop) ? NNC_INTERRUPTED : train_step(trainer, &epoch, number);
        if (status == NNC_OK && epoch.done < epoch.steps)
            at_moment(trainer, MOMENT_STEP);
    }
    if (status == NNC_OK)
        status = finish_epoch(trainer, &epoch, number);
    epoch_close(trainer, &epoch);
    return status;
}

static nnc_status send_end(Trainer *trainer, nnc_status status, double begin, bool early)
{
    struct rusage usage;
    if (status == NNC_OK && trainer->spec->parts[NNC_PART_TEST].count > 0)
        status = evaluate_part(trainer, NNC_PART_TEST);
    if (status != NNC_OK && status != NNC_INTERRUPTED && status != NNC_DIVERGED)
        return status;
    getrusage(RUSAGE_SELF, &usage);
    nnc_event event = {.kind = NNC_EVENT_END,
                       .step = trainer->step,
                       .seconds = now_seconds() - begin,
                       .train = trainer->sets[NNC_PART_TRAIN].items,
                       .train_count = trainer->sets[NNC_PART_TRAIN].count,
                       .valid = trainer->sets[NNC_PART_VALID].items,
                       .valid_count = trainer->sets[NNC_PART_VALID].count,
                       .test = trainer->sets[NNC_PART_TEST].items,
                       .test_count = trainer->sets[NNC_PART_TEST].count,
                       .stopped_early = early,
                       .arena_bytes = trainer->spec->arena_bytes,
                       .arena_bytes_used = session_arena_bytes(trainer->session),
                       .peak_rss_bytes = (int64_t)usage.ru_maxrss * 1024};
    if (trainer->finish)
        event.saved = trainer->finish(trainer->finish_user, status);
    send(trainer, &event);
    return status;
}

static bool out_of_patience(const Trainer *trainer)
{
    return trainer->spec->patience > 0 && trainer->epochs_since_best >= trainer->spec->patience;
}

/* The numbers at the end belong to the weights that are kept. */
static nnc_status return_to_best(Trainer *trainer)
{
    tensors_restore(trainer, trainer->best);
    if (trainer->spec->parts[NNC_PART_VALID].count == 0)
        return NNC_OK;
    return evaluate_part(trainer, NNC_PART_VALID);
}

/* Goes on where an interrupted call ended: the position in the data is the number of steps. */
nnc_status trainer_run(Trainer *trainer)
{
    const TrainSpec *spec = trainer->spec;
    double begin = now_seconds();
    nnc_status status = NNC_OK;
    bool early = false;
    send_start(trainer);
    early = out_of_patience(trainer);
    while (status == NNC_OK && !early && trainer->step < trainer->total_steps) {
        status = run_epoch(trainer, trainer->epoch);
        early = status == NNC_OK && out_of_patience(trainer);
    }
    if (status == NNC_INTERRUPTED) {
        atomic_store(&trainer->stop, false);
        at_moment(trainer, MOMENT_STOP);
    } else if (status == NNC_OK) {
        at_moment(trainer, MOMENT_END);
    }
    if (status == NNC_OK && spec->patience > 0 && trainer->best)
        status = return_to_best(trainer);
    snapshot_drop(trainer);
    return send_end(trainer, status, begin, early);
}
