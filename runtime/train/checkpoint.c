/* Checkpoints (checkpoint.h). Tensors are saved by name, whatever they are for: what a model is
 * made of goes into the one file, all the rest into the other, so that a new kind of state is
 * saved without a line here. */
#include "runtime/train/checkpoint.h"

#include "runtime/base/vec.h"
#include "runtime/train/trainer_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const part_names[PART_COUNT] = {"train", "valid", "test"};
enum { MAX_STATE_BYTES = 1 << 20 };
enum { FILE_WEIGHTS, FILE_STATE, FILE_COUNT };
static const char *const file_names[FILE_COUNT] = {CHECKPOINT_WEIGHTS, "state.safetensors"};

static int file_of(const RunTensor *spec)
{
    return role_is_weight(spec->role) ? FILE_WEIGHTS : FILE_STATE;
}

/* ---- What goes into the files ---- */

typedef VEC(SafeEntry) Entries;

static void add_tensor(Arena *arena, const RunTensor *spec, const char *name, const void *data,
                       Entries *entries)
{
    SafeEntry entry = {.name = name, .dtype = spec->dtype, .rank = spec->rank, .data = data};
    memcpy(entry.sizes, spec->sizes, sizeof entry.sizes);
    vec_push(arena, entries, entry);
}

static const char *best_name(Arena *arena, const char *name)
{
    return arena_format(arena, "best/%s", name);
}

static const char *result_name(Arena *arena, int part, const char *name)
{
    return arena_format(arena, "result/%s/%s", part_names[part], name);
}

static void add_results(const Trainer *trainer, Arena *arena, Entries *entries)
{
    for (int part = 0; part < PART_COUNT; part++)
        for (size_t i = 0; i < trainer->sets[part].count; i++) {
            const nnc_metric *metric = &trainer->sets[part].items[i];
            SafeEntry entry = {.name = result_name(arena, part, metric->name),
                               .dtype = DT_F64,
                               .rank = metric->rank,
                               .data = metric->rank ? metric->values : &metric->value};
            memcpy(entry.sizes, metric->sizes, sizeof metric->sizes);
            vec_push(arena, entries, entry);
        }
}

static void list_entries(const Trainer *trainer, int file, Arena *arena, Entries *entries)
{
    const TrainSpec *spec = trainer->spec;
    for (int i = 0; i < spec->tensor_count; i++)
        if (file_of(&spec->tensors[i]) == file)
            add_tensor(arena, &spec->tensors[i], spec->tensors[i].name, trainer->tensors[i],
                       entries);
    if (file != FILE_STATE)
        return;
    for (int i = 0; trainer->best && i < spec->tensor_count; i++)
        if (trainer->best[i])
            add_tensor(arena, &spec->tensors[i], best_name(arena, spec->tensors[i].name),
                       trainer->best[i], entries);
    add_results(trainer, arena, entries);
}

static TrainState state_of(const Trainer *trainer, const CheckpointNotes *notes)
{
    TrainState state = {
        .step = trainer->step,
        .epoch = trainer->epoch,
        .step_of_epoch = trainer->step - trainer->epoch * steps_of_epoch(trainer->spec),
        .has_best = trainer->has_best,
        .best_step = trainer->best_step,
        .epochs_since_best = trainer->epochs_since_best,
        .log_bytes = notes->log_bytes,
        .best_value = trainer->best_value,
        .loss = trainer->loss,
        .lr = trainer->lr,
    };
    if (state.step_of_epoch < 0) /* the last epoch was cut short by `steps` */
        state.step_of_epoch = 0;
    for (int i = 0; i < notes->item_count && i < STATE_ITEMS; i++)
        state.items[state.item_count++] = notes->items[i];
    return state;
}

/* ---- Writing ---- */

typedef struct {
    const char *path; /* of the checkpoint */
    Diag *diag;
    Arena *arena;
} Writer;

static bool failed(const Writer *writer, const char *what, const char *name, int reason)
{
    diag_error(writer->diag, ERR_E0806, (Span){0}, NULL,
               "the checkpoint %s was not written: cannot %s %s: %s", writer->path, what, name,
               strerror(reason));
    return false;
}

static bool write_tensors(const Writer *writer, const Trainer *trainer, int which,
                          const char *folder, const CheckpointNotes *notes, TrainState *state)
{
    Entries entries = {0};
    FileWriter file;
    bool weights = which == FILE_WEIGHTS;
    list_entries(trainer, which, writer->arena, &entries);
    if (file_begin_part(&file, arena_format(writer->arena, "%s/%s", folder, file_names[which])))
        safetensors_write_into(&file, entries.data, (int)entries.count,
                               weights ? notes->notes : NULL, weights ? notes->note_count : 0);
    if (!file_commit(&file))
        return failed(writer, file.what, file_names[which], file.error);
    state->files[state->file_count++] =
        (StateFile){.name = file_names[which], .bytes = file.bytes, .hash = file.hash};
    return true;
}

static bool fill_folder(const Writer *writer, const Trainer *trainer, const char *folder,
                        const CheckpointNotes *notes)
{
    TrainState state = state_of(trainer, notes);
    for (int file = 0; file < FILE_COUNT; file++)
        if (!write_tensors(writer, trainer, file, folder, notes, &state))
            return false;
    StrBuf text = {0};
    FileWriter file;
    state_print(&state, &text);
    if (file_begin_part(&file, arena_format(writer->arena, "%s/state.json", folder)))
        file_write(&file, text.text, text.length);
    bool done = file_commit(&file);
    strbuf_free(&text);
    if (!done)
        return failed(writer, file.what, "state.json", file.error);
    return folder_sync(folder) || failed(writer, "sync", folder, errno);
}

/* Both names change hands in one step, where the system can do that. */
static bool exchange(const char *a, const char *b)
{
#ifdef RENAME_EXCHANGE
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0;
#else
    (void)a, (void)b;
    return false;
#endif
}

/* A rename does not replace a folder with files in it: an older one is exchanged, or else steps
 * aside first. */
static bool put_in_place(const Writer *writer, const char *folder, const char *parent)
{
    const char *aside = arena_format(writer->arena, "%s-old", folder);
    bool had = access(writer->path, F_OK) == 0;
    if (had && exchange(folder, writer->path)) {
        (void)folder_remove(folder);
        return folder_sync(parent) || failed(writer, "sync", parent, errno);
    }
    if (had && (!folder_remove(aside) || !file_rename(writer->path, aside)))
        return failed(writer, "replace", "the older one", errno);
    if (!file_rename(folder, writer->path)) {
        int reason = errno;
        if (had)
            (void)file_rename(aside, writer->path);
        return failed(writer, "rename", folder, reason);
    }
    if (had)
        (void)folder_remove(aside);
    return folder_sync(parent) || failed(writer, "sync", parent, errno);
}

bool checkpoint_write(const Trainer *trainer, const char *path, const CheckpointNotes *notes,
                      Diag *diag)
{
    Writer writer = {path, diag, arena_new()};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *parent = slash ? arena_substring(writer.arena, path, (size_t)(slash - path)) : ".";
    const char *folder = arena_format(writer.arena, "%s/" CHECKPOINT_TEMPORARY "%ld-%s",
                                      slash && slash == path ? "" : parent, (long)getpid(), name);
    bool good =
        (folder_remove(folder) && folder_make(folder)) || failed(&writer, "make", folder, errno);
    good = good && fill_folder(&writer, trainer, folder, notes) &&
           put_in_place(&writer, folder, parent);
    if (!good)
        (void)folder_remove(folder);
    arena_free(writer.arena);
    return good;
}

/* ---- Reading ---- */

struct Checkpoint {
    Arena *arena;
    TrainState state;
    SafeTensors *files[FILE_COUNT];
};

static bool refuse(StrBuf *problem, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(StrBuf *problem, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    strbuf_vprintf(problem, format, args);
    va_end(args);
    return false;
}

static bool read_state(Checkpoint *checkpoint, const char *path, StrBuf *problem)
{
    size_t length;
    char *text =
        file_read(arena_format(checkpoint->arena, "%s/state.json", path), MAX_STATE_BYTES, &length);
    if (!text)
        return refuse(problem, "state.json cannot be read: %s", strerror(errno));
    const char *wrong = state_read(text, length, checkpoint->arena, &checkpoint->state);
    free(text);
    return !wrong || refuse(problem, "state.json %s", wrong);
}

/* The first line that was said about a file. */
static bool refuse_as_said(const Diag *diag, StrBuf *problem)
{
    StrBuf text = {0};
    diag_render_text(diag, &text, false);
    const char *from = text.text ? strstr(text.text, "]: ") : NULL;
    from = from ? from + 3 : "unreadable";
    strbuf_add_bytes(problem, from, strcspn(from, "\n"));
    strbuf_free(&text);
    return false;
}

static bool open_tensors(Checkpoint *checkpoint, int which, const char *path, StrBuf *problem)
{
    const char *name = arena_format(checkpoint->arena, "%s/%s", path, file_names[which]);
    const StateFile *expected = &checkpoint->state.files[which];
    int64_t bytes;
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    SafeTensors *file = safetensors_open(name, diag, (Span){0});
    checkpoint->files[which] = file;
    bool good = file || refuse_as_said(diag, problem);
    diag_free(diag);
    source_map_free(map);
    if (good && (safetensors_hash(file, &bytes) != expected->hash || bytes != expected->bytes))
        good = refuse(problem, "%s was altered since it was written", file_names[which]);
    return good;
}

Checkpoint *checkpoint_open(const char *path, StrBuf *problem)
{
    Arena *arena = arena_new();
    Checkpoint *checkpoint = ARENA_NEW(arena, Checkpoint);
    checkpoint->arena = arena;
    bool good = read_state(checkpoint, path, problem);
    if (good && checkpoint->state.file_count != FILE_COUNT)
        good = refuse(problem, "state.json does not name its files");
    for (int file = 0; good && file < FILE_COUNT; file++) {
        if (strcmp(checkpoint->state.files[file].name, file_names[file]) != 0)
            good = refuse(problem, "state.json does not name %s", file_names[file]);
        good = good && open_tensors(checkpoint, file, path, problem);
    }
    if (good)
        return checkpoint;
    checkpoint_close(checkpoint);
    return NULL;
}

void checkpoint_close(Checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    for (int file = 0; file < FILE_COUNT; file++)
        safetensors_close(checkpoint->files[file]);
    arena_free(checkpoint->arena);
}

const TrainState *checkpoint_state(const Checkpoint *checkpoint)
{
    return &checkpoint->state;
}

/* ---- Taking a run over ---- */

static const Tensor *fitting(const Checkpoint *checkpoint, int file, const RunTensor *spec,
                             const char *name)
{
    const Tensor *tensor = safetensors_find(checkpoint->files[file], name);
    bool fits = tensor && tensor->dtype == spec->dtype &&
                tensor_same_shape(tensor->rank, tensor->sizes, spec->rank, spec->sizes);
    return fits ? tensor : NULL;
}

/* Everything is looked at before anything is taken. `data` gets an address per tensor; of the
 * best weights there are all or none. */
static bool find_tensors(const Checkpoint *checkpoint, const Trainer *trainer, const void **data,
                         const void **best, StrBuf *problem)
{
    const TrainSpec *spec = trainer->spec;
    int kept_count = 0, model_count = 0;
    for (int i = 0; i < spec->tensor_count; i++) {
        const RunTensor *wanted = &spec->tensors[i];
        const Tensor *found = fitting(checkpoint, file_of(wanted), wanted, wanted->name);
        const Tensor *kept =
            fitting(checkpoint, FILE_STATE, wanted, best_name(checkpoint->arena, wanted->name));
        if (!found)
            return refuse(problem, "%s has no tensor %s of the shape and type of the program's",
                          file_names[file_of(wanted)], wanted->name);
        data[i] = found->data;
        best[i] = kept ? kept->data : NULL;
        kept_count += kept != NULL;
        model_count += role_is_model(wanted->role);
    }
    return kept_count == 0 || kept_count == model_count ||
           refuse(problem, "%s has only some of the best weights", file_names[FILE_STATE]);
}

static bool check_position(const TrainState *state, const Trainer *trainer, StrBuf *problem)
{
    int64_t each = steps_of_epoch(trainer->spec), before;
    bool good =
        state->step <= trainer->total_steps && !__builtin_mul_overflow(state->epoch, each, &before);
    if (good && before > state->step) /* only the last epoch may be cut short */
        good = state->step == trainer->total_steps && before - state->step < each;
    else
        good = good && state->step - before <= each && state->step - before == state->step_of_epoch;
    return good || refuse(problem, "step %lld in epoch %lld is no place in this run",
                          (long long)state->step, (long long)state->epoch + 1);
}

static bool take_best(Trainer *trainer, const void *const *best)
{
    const TrainSpec *spec = trainer->spec;
    bool any = false;
    for (int i = 0; i < spec->tensor_count; i++)
        any |= best[i] != NULL;
    if (!any)
        return true;
    if (!tensors_copy(trainer, COPY_MODEL, &trainer->best)) /* makes the memory */
        return false;
    for (int i = 0; i < spec->tensor_count; i++)
        if (trainer->best[i] && best[i])
            memcpy(trainer->best[i], best[i], tensor_bytes(&spec->tensors[i]));
    return true;
}

/* Of a part there are the results of all metrics, or none. */
static bool take_results(const Checkpoint *checkpoint, Trainer *trainer, nnc_part part,
                         StrBuf *problem)
{
    const TrainSpec *spec = trainer->spec;
    const Tensor **found = ARENA_ARRAY(checkpoint->arena, const Tensor *, spec->metric_count + 1);
    int count = 0;
    for (int i = 0; i < spec->metric_count; i++) {
        const char *name = result_name(checkpoint->arena, part, spec->metrics[i].name);
        found[i] = safetensors_find(checkpoint->files[FILE_STATE], name);
        if (found[i] && (found[i]->dtype != DT_F64 || found[i]->rank > 2))
            found[i] = NULL;
        count += found[i] != NULL;
    }
    for (int i = 0; count == spec->metric_count && i < count; i++)
        if (!metrics_put(trainer, part, i, found[i]))
            return refuse(problem, "%s is of another shape than the program's, or memory is short",
                          spec->metrics[i].name);
    return true;
}

bool checkpoint_take(const Checkpoint *checkpoint, Trainer *trainer, StrBuf *problem)
{
    const TrainState *state = &checkpoint->state;
    int count = trainer->spec->tensor_count;
    const void **data = ARENA_ARRAY(checkpoint->arena, const void *, count + 1),
               **best = ARENA_ARRAY(checkpoint->arena, const void *, count + 1);
    if (!check_position(state, trainer, problem) ||
        !find_tensors(checkpoint, trainer, data, best, problem))
        return false;
    if (!take_best(trainer, best))
        return refuse(problem, "there is not enough memory for it");
    for (int part = 0; part < PART_COUNT; part++)
        if (!take_results(checkpoint, trainer, (nnc_part)part, problem))
            return false;
    for (int i = 0; i < count; i++)
        memcpy(trainer->tensors[i], data[i], tensor_bytes(&trainer->spec->tensors[i]));
    trainer->step = trainer->resumed = state->step;
    trainer->epoch = state->epoch;
    trainer->has_best = state->has_best;
    trainer->best_value = state->best_value;
    trainer->best_step = state->best_step;
    trainer->epochs_since_best = state->epochs_since_best;
    trainer->loss = state->loss;
    trainer->lr = state->lr;
    return true;
}
