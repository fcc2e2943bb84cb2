/* From what a user calls a checkpoint to one that is whole: names of folders, pointers, the
 * newest of a run. Damaged ones are said and passed over, never read from. */
#include "compiler/driver/rundir.h"
#include "compiler/driver/steps.h"
#include "compiler/driver/weights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_there(Arena *arena, const char *folder, const char *name)
{
    struct stat status;
    return stat(arena_format(arena, "%s/%s", folder, name), &status) == 0;
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

const char *steps_pointed(Arena *arena, const char *path)
{
    size_t length;
    int64_t step;
    char *text = file_read(path, 64, &length);
    const char *slash = strrchr(path, '/'), *to = NULL;
    if (text && length > 1 && text[length - 1] == '\n') {
        text[length - 1] = 0;
        if (strlen(text) == length - 1 && step_of_name(text, &step))
            to = arena_format(arena, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, text);
    }
    free(text);
    return to;
}

/* The newest whole one of a folder of checkpoints. */
static Checkpoint *newest(Arena *arena, const char *folder, const char **found, StrBuf *problem)
{
    StepList list = steps_list(folder);
    Checkpoint *checkpoint = NULL;
    for (int64_t i = 0; i < list.count && !checkpoint; i++) {
        const char *path = arena_format(arena, "%s/step-%lld", folder, (long long)list.steps[i]);
        StrBuf wrong = {0};
        checkpoint = checkpoint_open(path, &wrong);
        if (checkpoint)
            *found = path;
        else
            strbuf_printf(problem, "%sstep-%lld is damaged: %s", problem->length ? "; " : "",
                          (long long)list.steps[i], wrong.text);
        strbuf_free(&wrong);
    }
    steps_free(&list);
    return checkpoint;
}

Checkpoint *checkpoint_find(Arena *arena, const char *path, const char **found, StrBuf *problem)
{
    const char *to = path;
    if (!is_folder(path) && !(to = steps_pointed(arena, path))) {
        strbuf_add(problem, "it is no checkpoint");
        return NULL;
    }
    if (is_there(arena, to, "state.json")) {
        *found = to;
        return checkpoint_open(to, problem);
    }
    Checkpoint *checkpoint = newest(
        arena, is_there(arena, to, "checkpoints") ? arena_format(arena, "%s/checkpoints", to) : to,
        found, problem);
    if (!checkpoint && problem->length == 0)
        strbuf_add(problem, "there is no checkpoint");
    return checkpoint;
}

const char *weights_find(nnc_context *context, Arena *arena, const char *path)
{
    StrBuf problem = {0};
    const char *found;
    if (!is_folder(path) && !steps_pointed(arena, path))
        return path;
    if (!is_there(arena, path, "state.json") && is_there(arena, path, CHECKPOINT_WEIGHTS))
        return arena_format(arena, "%s/" CHECKPOINT_WEIGHTS, path);
    Checkpoint *checkpoint = checkpoint_find(arena, path, &found, &problem);
    if (!checkpoint)
        context_fail(context, NNC_DATA, ERR_E0807, "%s: %s", path, problem.text);
    checkpoint_close(checkpoint);
    strbuf_free(&problem);
    return checkpoint ? arena_format(arena, "%s/" CHECKPOINT_WEIGHTS, found) : NULL;
}

uint64_t rundir_seed(const char *run_dir)
{
    Arena *arena = arena_new();
    const char *folder = arena_format(arena, "%s/checkpoints", run_dir);
    StepList list = steps_list(folder);
    uint64_t seed = 0;
    for (int64_t i = 0; i < list.count && seed == 0; i++) {
        TrainState state;
        size_t length;
        char *text = file_read(
            arena_format(arena, "%s/step-%lld/state.json", folder, (long long)list.steps[i]),
            1 << 20, &length);
        if (text && !state_read(text, length, arena, &state)) {
            const char *value = configuration_find(state.items, state.item_count, "seed");
            seed = value ? strtoull(value, NULL, 10) : 0;
        }
        free(text);
    }
    steps_free(&list);
    arena_free(arena);
    return seed;
}
