/* Batches made ahead (loader.h). In: a compiled function of one row and a pass over data; out:
 * batches in a ring of slots.
 *
 *   slots      [ 7 | 5 | 6 ]       prefetch 2: one in use and two ahead
 *   in use       5                 the step reads it; its slot is free when 6 is taken
 *   next to make 8                 waits, because its slot is that of 5
 *
 * Batch b lies in slot b modulo their number. A thread takes the number of the next batch, makes it
 * outside of the lock, and marks its slot as full. Since every thread makes batches of its own and
 * rows depend on nothing but their numbers, no order of threads is visible. What goes wrong with a
 * row is kept in its slot and said by loader_take, on the thread of the trainer: errors come in the
 * order of the batches. */
#include "runtime/train/loader.h"

#include "runtime/base/bug.h"
#include "runtime/train/pool.h"
#include "runtime/train/trainer_private.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESSORS_PER_THREAD = 4, MOST_USUAL_THREADS = 8, EPOCH_SHIFT = 40 };

typedef struct {
    int64_t batch; /* in it or being made, -1: none */
    bool full;
    char **columns; /* per argument of the map: rows of an output, else NULL */
    CallStatus status;
    CallFailure failure;
    int64_t row; /* that failed */
} Slot;

typedef struct {
    Loader *loader;
    pthread_t thread;
    Session *session;
    void **buffers; /* per argument of the map, of one call */
} Maker;

struct Loader {
    Trainer *trainer;
    const Function *map;
    int64_t *row_bytes; /* per argument that is an output */
    int64_t rows;       /* of a full batch */
    Slot *slots;
    int slot_count;
    Maker *makers; /* the last one is the trainer's own */
    int thread_count, running;
    /* The pass. Written by loader_begin, before there are threads. */
    DataPart part;
    const int64_t *order;
    uint64_t epoch;
    const DataColumn **inputs; /* per argument that is an input */
    Slot *current;
    double waited;
    /* Under the mutex while threads run. */
    pthread_mutex_t mutex;
    pthread_cond_t free_slot, full_slot;
    int64_t next, end; /* batches to make */
    int64_t in_use;    /* batch that the trainer has or waits for; those before are free */
    bool stop;
};

int loader_usual_threads(void)
{
    int threads = pool_cpus() / PROCESSORS_PER_THREAD;
    return threads < 1 ? 1 : threads > MOST_USUAL_THREADS ? MOST_USUAL_THREADS : threads;
}

/* ---- Memory ---- */

static bool open_slot(Loader *loader, Slot *slot)
{
    slot->batch = -1;
    slot->columns = calloc((size_t)loader->map->arg_count + 1, sizeof *slot->columns);
    for (int arg = 0; slot->columns && arg < loader->map->arg_count; arg++) {
        int64_t bytes;
        if (loader->map->args[arg].kind != ARG_OUTPUT)
            continue;
        if (__builtin_mul_overflow(loader->row_bytes[arg], loader->rows, &bytes) ||
            !(slot->columns[arg] = tensor_memory((size_t)bytes)))
            return false;
    }
    return slot->columns != NULL;
}

static bool open_maker(Loader *loader, Maker *maker)
{
    const Function *map = loader->map;
    *maker = (Maker){.loader = loader, .session = session_new(NULL, NULL)};
    maker->buffers = calloc((size_t)map->arg_count + 1, sizeof *maker->buffers);
    for (int arg = 0; maker->buffers && arg < map->arg_count; arg++)
        if (map->args[arg].kind == ARG_PARAM || map->args[arg].kind == ARG_STATE)
            maker->buffers[arg] = trainer_tensor(loader->trainer, map->args[arg].name);
    return maker->session && maker->buffers;
}

/* Sizes of rows; false: memory was refused, or a row has more bytes than can be counted. */
static bool measure_rows(Loader *loader)
{
    const Function *map = loader->map;
    int64_t no_dims[FUNCTION_RANK] = {0};
    loader->row_bytes = calloc((size_t)map->arg_count + 1, sizeof *loader->row_bytes);
    loader->inputs = calloc((size_t)map->arg_count + 1, sizeof *loader->inputs);
    if (!loader->row_bytes || !loader->inputs)
        return false;
    for (int arg = 0; arg < map->arg_count; arg++) {
        int64_t elements = function_elements(map, no_dims, arg);
        int64_t each = (int64_t)dtype_bytes(map->args[arg].dtype);
        if (elements < 0 || __builtin_mul_overflow(elements, each, &loader->row_bytes[arg]))
            return false;
    }
    return true;
}

Loader *loader_new(Trainer *trainer, const Function *map, const DataTable *table, int64_t rows,
                   int threads, int64_t prefetch)
{
    Loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return NULL;
    NNC_ASSERT(map->dim_count == 0 && threads >= 0 && prefetch >= 0);
    *loader = (Loader){.trainer = trainer, .map = map, .rows = rows, .part = {.table = table}};
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->free_slot, NULL);
    pthread_cond_init(&loader->full_slot, NULL);
    loader->thread_count = prefetch > 0 ? threads : 0;
    loader->slot_count = loader->thread_count > 0 ? (int)prefetch + 1 : 1;
    loader->slots = calloc((size_t)loader->slot_count, sizeof *loader->slots);
    loader->makers = calloc((size_t)loader->thread_count + 1, sizeof *loader->makers);
    bool good = loader->slots && loader->makers && measure_rows(loader);
    for (int i = 0; good && i < loader->slot_count; i++)
        good = open_slot(loader, &loader->slots[i]);
    for (int i = 0; good && i <= loader->thread_count; i++)
        good = open_maker(loader, &loader->makers[i]);
    loader->current = loader->slots;
    if (good)
        return loader;
    loader_free(loader);
    return NULL;
}

void loader_free(Loader *loader)
{
    if (!loader)
        return;
    loader_end(loader);
    for (int i = 0; loader->slots && i < loader->slot_count; i++) {
        for (int arg = 0; loader->slots[i].columns && arg < loader->map->arg_count; arg++)
            free(loader->slots[i].columns[arg]);
        free(loader->slots[i].columns);
    }
    for (int i = 0; loader->makers && i <= loader->thread_count; i++) {
        session_free(loader->makers[i].session);
        free(loader->makers[i].buffers);
    }
    free(loader->slots);
    free(loader->makers);
    free(loader->row_bytes);
    free(loader->inputs);
    pthread_cond_destroy(&loader->full_slot);
    pthread_cond_destroy(&loader->free_slot);
    pthread_mutex_destroy(&loader->mutex);
    free(loader);
}

/* ---- One batch ---- */

static int64_t rows_of_batch(const Loader *loader, int64_t batch)
{
    int64_t left = loader->part.count - batch * loader->rows;
    return left < loader->rows ? left : loader->rows;
}

static int64_t row_of(const Loader *loader, int64_t batch, int64_t i)
{
    int64_t place = batch * loader->rows + i;
    int64_t position = loader->order ? loader->order[place] : place;
    return loader->part.rows ? loader->part.rows[position] : position;
}

/* No two rows of a run share their random numbers: tables have fewer than 2^40 rows. */
static uint64_t counter_of(const Loader *loader, int64_t row)
{
    return (loader->epoch << EPOCH_SHIFT) + (uint64_t)row;
}

static void bind_row(Maker *maker, const Slot *slot, int64_t row, int64_t i)
{
    const Loader *loader = maker->loader;
    for (int arg = 0; arg < loader->map->arg_count; arg++) {
        if (loader->inputs[arg])
            maker->buffers[arg] = column_row(loader->inputs[arg], row);
        else if (slot->columns[arg])
            maker->buffers[arg] = slot->columns[arg] + i * loader->row_bytes[arg];
    }
}

static void make_batch(Maker *maker, Slot *slot, int64_t batch)
{
    const Loader *loader = maker->loader;
    int64_t no_dims[FUNCTION_RANK] = {0}, count = rows_of_batch(loader, batch);
    slot->status = CALL_OK;
    for (int64_t i = 0; slot->status == CALL_OK && i < count; i++) {
        slot->row = row_of(loader, batch, i);
        bind_row(maker, slot, slot->row, i);
        slot->status = session_call(maker->session, loader->map, no_dims, maker->buffers,
                                    loader->trainer->spec->seed, counter_of(loader, slot->row),
                                    &slot->failure);
    }
}

/* ---- Threads ---- */

/* Waits for a batch to make; -1: there is none any more. */
static int64_t next_batch(Loader *loader)
{
    int64_t batch = -1;
    pthread_mutex_lock(&loader->mutex);
    while (!loader->stop && loader->next < loader->end &&
           loader->next >= loader->in_use + loader->slot_count)
        pthread_cond_wait(&loader->free_slot, &loader->mutex);
    if (!loader->stop && loader->next < loader->end)
        batch = loader->next++;
    if (batch >= 0) {
        Slot *slot = &loader->slots[batch % loader->slot_count];
        slot->batch = batch;
        slot->full = false;
    }
    pthread_mutex_unlock(&loader->mutex);
    return batch;
}

static void *maker_main(void *argument)
{
    Maker *maker = argument;
    Loader *loader = maker->loader;
    for (int64_t batch; (batch = next_batch(loader)) >= 0;) {
        Slot *slot = &loader->slots[batch % loader->slot_count];
        make_batch(maker, slot, batch);
        pthread_mutex_lock(&loader->mutex);
        slot->full = true;
        pthread_cond_signal(&loader->full_slot);
        pthread_mutex_unlock(&loader->mutex);
    }
    return NULL;
}

/* Signals are for the threads of the host. */
static void start_threads(Loader *loader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (loader->running < loader->thread_count &&
           pthread_create(&loader->makers[loader->running].thread, NULL, maker_main,
                          &loader->makers[loader->running]) == 0)
        loader->running++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void loader_rest(Loader *loader)
{
    if (!loader || loader->running == 0)
        return;
    pthread_mutex_lock(&loader->mutex);
    loader->stop = true;
    pthread_cond_broadcast(&loader->free_slot);
    pthread_mutex_unlock(&loader->mutex);
    for (int i = 0; i < loader->running; i++)
        pthread_join(loader->makers[i].thread, NULL);
    loader->running = 0;
}

void loader_end(Loader *loader)
{
    if (!loader)
        return;
    loader_rest(loader);
    loader->order = NULL;
    loader->part.count = 0;
}

void loader_begin(Loader *loader, const DataPart *part, const int64_t *order, uint64_t epoch,
                  int64_t first, int64_t end)
{
    loader_end(loader);
    loader->part = *part;
    loader->order = order;
    loader->epoch = epoch;
    loader->next = loader->in_use = first;
    loader->end = end;
    loader->stop = false;
    loader->waited = 0;
    for (int arg = 0; arg < loader->map->arg_count; arg++)
        if (loader->map->args[arg].kind == ARG_INPUT)
            loader->inputs[arg] = table_column(part->table, loader->map->args[arg].name);
    for (int i = 0; i < loader->slot_count; i++)
        loader->slots[i].batch = -1;
    start_threads(loader);
}

/* ---- The trainer's side ---- */

static nnc_status report(Loader *loader, const Slot *slot)
{
    const CallFailure *failure = &slot->failure;
    Diag *diag = loader->trainer->diag;
    if (slot->status == CALL_NO_MEMORY) {
        diag_error(diag, ERR_E0804, (Span){0}, NULL,
                   "memory was refused: the map of the dataset needs %lld bytes for row %lld of "
                   "the data",
                   (long long)failure->bytes, (long long)slot->row);
        return NNC_MEMORY;
    }
    DiagItem *item = diag_error(diag, failure->site->code, failure->site->span, NULL, "%s",
                                failure->site->message);
    diag_note(item, (Span){0}, "row %lld of the data", (long long)slot->row);
    return NNC_DATA;
}

static void wait_for(Loader *loader, Slot *slot, int64_t batch)
{
    pthread_mutex_lock(&loader->mutex);
    loader->in_use = batch;
    pthread_cond_broadcast(&loader->free_slot);
    while (slot->batch != batch || !slot->full)
        pthread_cond_wait(&loader->full_slot, &loader->mutex);
    pthread_mutex_unlock(&loader->mutex);
}

nnc_status loader_take(Loader *loader, int64_t batch)
{
    Slot *slot = &loader->slots[batch % loader->slot_count];
    double begin = now_seconds();
    loader->current = slot;
    if (loader->running > 0) {
        NNC_ASSERT(batch >= loader->in_use && batch <= loader->in_use + 1 && batch < loader->end);
        wait_for(loader, slot, batch);
    } else {
        make_batch(&loader->makers[loader->thread_count], slot, batch);
        slot->batch = batch;
    }
    loader->waited += now_seconds() - begin;
    return slot->status == CALL_OK ? NNC_OK : report(loader, slot);
}

void *loader_column(const Loader *loader, const char *name)
{
    int arg = function_arg(loader->map, ARG_OUTPUT, name);
    return arg < 0 ? NULL : loader->current->columns[arg];
}

double loader_waited(const Loader *loader)
{
    return loader ? loader->waited : 0;
}

static bool row_is_finite(const Loader *loader, const Slot *slot, int64_t i)
{
    for (int arg = 0; arg < loader->map->arg_count; arg++) {
        const FunctionArg *argument = &loader->map->args[arg];
        if (!slot->columns[arg])
            continue;
        const char *data = slot->columns[arg] + i * loader->row_bytes[arg];
        RunTensor row = {.dtype = argument->dtype, .rank = 1};
        row.sizes[0] = loader->row_bytes[arg] / (int64_t)dtype_bytes(argument->dtype);
        if (!tensor_is_finite(&row, data))
            return false;
    }
    return true;
}

bool loader_inspect(Loader *loader, Finding *finding)
{
    Slot *slot = loader->current;
    Maker *maker = &loader->makers[loader->thread_count];
    int64_t no_dims[FUNCTION_RANK] = {0};
    for (int64_t i = 0; i < rows_of_batch(loader, slot->batch); i++) {
        int64_t row = row_of(loader, slot->batch, i);
        if (row_is_finite(loader, slot, i))
            continue;
        bind_row(maker, slot, row, i);
        if (!session_inspect(maker->session, loader->map, no_dims, maker->buffers,
                             loader->trainer->spec->seed, counter_of(loader, row), finding))
            continue;
        strbuf_printf(&finding->inputs, "%sis of row %lld of the data",
                      finding->inputs.length ? "\n" : "", (long long)row);
        return true;
    }
    return false;
}
