/* The folder of a run (rundir.h). A fresh run wants a folder without checkpoints; one that goes
 * on cuts the log to what it was when its checkpoint was made, so that every epoch stands there
 * once. A checkpoint that cannot be written does not end the run: it is said at once, tried
 * again when the next one is due, and the last attempt decides the status of the run. */
#include "compiler/driver/rundir.h"
#include "compiler/driver/steps.h"
#include "compiler/driver/weights.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *path_in(const nnc_trainer *trainer, const char *name)
{
    return arena_format(trainer->run.arena, "%s/%s", trainer->run_dir, name);
}

static Diag *diag_of(const nnc_trainer *trainer)
{
    return trainer->run.program->context->diag;
}

static nnc_status cannot(const nnc_trainer *trainer, const char *what, const char *path)
{
    return context_fail(trainer->run.program->context, NNC_DATA, ERR_E0806, "cannot %s %s: %s",
                        what, path, strerror(errno));
}

static Configuration *configuration(nnc_trainer *trainer)
{
    if (!trainer->configuration)
        trainer->configuration = configuration_of(&trainer->run);
    return trainer->configuration;
}

/* ---- Going on ---- */

nnc_status rundir_take(nnc_trainer *trainer, const Checkpoint *checkpoint, const char *path)
{
    const TrainState *state = checkpoint_state(checkpoint);
    StrBuf problem = {0};
    if (!configuration_matches(configuration(trainer), state, path, diag_of(trainer)))
        return NNC_DATA;
    bool taken = checkpoint_take(checkpoint, trainer->run.trainer, &problem);
    if (!taken)
        context_fail(trainer->run.program->context, NNC_DATA, ERR_E0807, "%s: %s", path,
                     problem.text);
    strbuf_free(&problem);
    return taken ? NNC_OK : NNC_DATA;
}

nnc_status rundir_resume(nnc_trainer *trainer)
{
    Arena *arena = trainer->run.arena;
    const char *found, *folder = path_in(trainer, "checkpoints");
    nnc_status status = NNC_OK;
    StrBuf problem = {0};
    struct stat there;
    if (stat(folder, &there) != 0)
        return NNC_OK;
    Checkpoint *checkpoint = checkpoint_find(arena, folder, &found, &problem);
    if (checkpoint) {
        status = rundir_take(trainer, checkpoint, found);
        trainer->log_bytes = checkpoint_state(checkpoint)->log_bytes;
        trainer->resumed = status == NNC_OK;
        strbuf_printf(&trainer->notice, "going on from %s", found);
    } else {
        strbuf_add(&trainer->notice, "starting from the beginning");
    }
    if (problem.length)
        strbuf_printf(&trainer->notice, " (%s)", problem.text);
    checkpoint_close(checkpoint);
    strbuf_free(&problem);
    return status;
}

/* ---- Opening ---- */

/* What a killed process left behind. */
static void remove_remains(const char *folder, Arena *arena)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        const char *name = entry->d_name, *path = arena_format(arena, "%s/%s", folder, name);
        if (strncmp(name, CHECKPOINT_TEMPORARY, sizeof CHECKPOINT_TEMPORARY - 1) == 0)
            (void)folder_remove(path);
        else if (strstr(name, ".tmp-"))
            (void)unlink(path);
    }
    if (entries)
        closedir(entries);
}

static nnc_status open_log(nnc_trainer *trainer)
{
    const char *path = path_in(trainer, "log.jsonl");
    do
        trainer->log = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    while (trainer->log < 0 && errno == EINTR);
    if (trainer->log < 0)
        return cannot(trainer, "open", path);
    if (flock(trainer->log, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return context_fail(trainer->run.program->context, NNC_DATA, ERR_E0809,
                            "another process is running in %s", trainer->run_dir);
    return NNC_OK;
}

/* The log as it was at the checkpoint, or empty. */
static nnc_status cut_log(nnc_trainer *trainer)
{
    struct stat status;
    int64_t keep = trainer->resumed ? trainer->log_bytes : 0;
    if (fstat(trainer->log, &status) != 0)
        return cannot(trainer, "read", path_in(trainer, "log.jsonl"));
    trainer->log_bytes = keep < status.st_size ? keep : status.st_size;
    if (status.st_size > trainer->log_bytes && ftruncate(trainer->log, trainer->log_bytes) != 0)
        return cannot(trainer, "shorten", path_in(trainer, "log.jsonl"));
    return NNC_OK;
}

static nnc_status refuse_mixture(const nnc_trainer *trainer)
{
    StepList list = steps_list(path_in(trainer, "checkpoints"));
    int64_t count = list.count;
    steps_free(&list);
    if (count == 0)
        return NNC_OK;
    DiagItem *item = diag_error(diag_of(trainer), ERR_E0809, (Span){0}, NULL,
                                "%s holds the checkpoints of an earlier run", trainer->run_dir);
    diag_help(item,
              "--resume goes on with it; another --run-dir, or removing the folder, starts anew");
    return NNC_DATA;
}

static nnc_status write_run_json(nnc_trainer *trainer)
{
    StrBuf text = {0};
    const char *path = path_in(trainer, "run.json");
    if (trainer->resumed && access(path, F_OK) == 0)
        return NNC_OK;
    run_json(trainer, configuration(trainer), &text);
    bool done = file_replace(path, text.text, text.length);
    strbuf_free(&text);
    return done ? NNC_OK : cannot(trainer, "write", path);
}

static bool point(nnc_trainer *trainer, const char *name, int64_t step)
{
    char text[32];
    int length = snprintf(text, sizeof text, "step-%lld\n", (long long)step);
    const char *path =
        arena_format(trainer->run.arena, "%s/checkpoints/%s", trainer->run_dir, name);
    return file_replace(path, text, (size_t)length) || cannot(trainer, "write", path) == NNC_OK;
}

/* A process that was killed after a checkpoint and before its pointers, or checkpoints that were
 * damaged later: both pointers are those of the checkpoint that the run goes on from. */
static bool point_again(nnc_trainer *trainer)
{
    Arena *arena = trainer->run.arena;
    int64_t best = trainer_best_step(trainer->run.trainer);
    const char *folder = path_in(trainer, "checkpoints");
    const char *path = arena_format(arena, "%s/step-%lld", folder, (long long)best);
    if (!point(trainer, "last", trainer->saved_step))
        return false;
    if (best >= 0 && access(path, F_OK) == 0)
        return point(trainer, "best", best);
    (void)unlink(arena_format(arena, "%s/best", folder));
    return true;
}

nnc_status rundir_start(nnc_trainer *trainer, bool may_go_on)
{
    if (!folder_make(trainer->run_dir))
        return cannot(trainer, "make the folder", trainer->run_dir);
    nnc_status status = open_log(trainer);
    if (status == NNC_OK && !may_go_on)
        status = refuse_mixture(trainer);
    if (status != NNC_OK)
        return status;
    remove_remains(trainer->run_dir, trainer->run.arena);
    remove_remains(path_in(trainer, "checkpoints"), trainer->run.arena);
    status = cut_log(trainer);
    if (status == NNC_OK)
        status = write_run_json(trainer);
    trainer->saved_step = trainer->resumed ? trainer_steps(trainer->run.trainer) : -1;
    trainer->saved_at = seconds();
    if (status == NNC_OK && trainer->resumed && !point_again(trainer))
        status = NNC_DATA;
    return status;
}

void rundir_close(nnc_trainer *trainer)
{
    if (trainer->log >= 0)
        close(trainer->log);
    trainer->log = -1;
}

/* ---- The log ---- */

/* A line that does not fit on the disk is taken back, so that the next one begins at a line. */
void rundir_log(nnc_trainer *trainer, const nnc_event *event)
{
    StrBuf line = {0};
    size_t at = 0;
    if (trainer->log < 0 || event->kind == NNC_EVENT_STEP)
        return;
    event_json(event, &line);
    strbuf_add_char(&line, '\n');
    while (at < line.length) {
        ssize_t done = write(trainer->log, line.text + at, line.length - at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            break;
        at += (size_t)done;
    }
    if (at == line.length) {
        trainer->log_bytes += (int64_t)at;
    } else {
        trainer->log_status = cannot(trainer, "write", path_in(trainer, "log.jsonl"));
        (void)!ftruncate(trainer->log, trainer->log_bytes);
    }
    strbuf_free(&line);
}

/* ---- Checkpoints ---- */

nnc_status rundir_checkpoint(nnc_trainer *trainer, const char *path)
{
    const Configuration *told = configuration(trainer);
    const WeightsNotes *weights = trainer->run.notes;
    CheckpointNotes notes = {.items = told->items,
                             .item_count = told->count,
                             .log_bytes = trainer->log_bytes,
                             .notes = weights->items,
                             .note_count = weights->count};
    return checkpoint_write(trainer->run.trainer, path, &notes, diag_of(trainer)) ? NNC_OK
                                                                                  : NNC_DATA;
}

/* A folder that is removed is none before its first file goes. */
static void remove_checkpoint(const char *folder, int64_t step, Arena *arena)
{
    const char *path = arena_format(arena, "%s/step-%lld", folder, (long long)step);
    const char *gone = arena_format(arena, "%s/" CHECKPOINT_TEMPORARY "%ld-gone-%lld", folder,
                                    (long)getpid(), (long long)step);
    if (file_rename(path, gone))
        (void)folder_remove(gone);
}

/* Those of later steps are not ours yet: damaged ones, which are replaced when the run gets
 * there. */
static void remove_old(nnc_trainer *trainer, int64_t now)
{
    Arena *arena = arena_new();
    const char *folder = arena_format(arena, "%s/checkpoints", trainer->run_dir);
    const char *best = steps_pointed(arena, arena_format(arena, "%s/best", folder));
    StepList list = steps_list(folder);
    int64_t kept = 0, best_step = -1;
    if (best)
        step_of_name(strrchr(best, '/') + 1, &best_step);
    for (int64_t i = 0; i < list.count; i++)
        if (list.steps[i] <= now && kept++ >= trainer->run.plan->settings.checkpoint_keep &&
            list.steps[i] != best_step)
            remove_checkpoint(folder, list.steps[i], arena);
    steps_free(&list);
    arena_free(arena);
}

static nnc_status save(nnc_trainer *trainer, int64_t step, bool best)
{
    Arena *arena = trainer->run.arena;
    const char *folder = path_in(trainer, "checkpoints");
    if (!folder_make(folder))
        return cannot(trainer, "make the folder", folder);
    if (trainer->log >= 0 && !file_sync(trainer->log))
        return cannot(trainer, "sync", path_in(trainer, "log.jsonl"));
    nnc_status status =
        rundir_checkpoint(trainer, arena_format(arena, "%s/step-%lld", folder, (long long)step));
    if (status != NNC_OK || !point(trainer, "last", step) ||
        (best && !point(trainer, "best", step)))
        return NNC_DATA;
    remove_old(trainer, step);
    return NNC_OK;
}

/* The last error, at once: when a later checkpoint is written it is no error of the run. */
static void add_reason(nnc_trainer *trainer)
{
    StrBuf text = {0};
    diag_render_text(diag_of(trainer), &text, false);
    const char *last = NULL;
    for (const char *at = text.text; at && (at = strstr(at, "]: ")); at += 3)
        last = at + 3;
    if (last)
        strbuf_add_bytes(&trainer->notice, last, strcspn(last, "\n"));
    strbuf_add(&trainer->notice, " (the next checkpoint is tried when it is due)");
    strbuf_free(&text);
}

static bool is_due(const nnc_trainer *trainer, TrainMoment moment, int64_t step, bool best)
{
    const TrainSettings *settings = &trainer->run.plan->settings;
    double minutes = settings->checkpoint_minutes;
    if (!trainer->run_dir || step == trainer->saved_step)
        return false;
    if (moment == MOMENT_STOP || !settings->has_checkpoint)
        return moment == MOMENT_STOP;
    return moment == MOMENT_END || best ||
           (settings->checkpoint_every > 0 && step % settings->checkpoint_every == 0) ||
           (minutes > 0 && seconds() - trainer->saved_at >= minutes * 60);
}

void rundir_moment(nnc_trainer *trainer, TrainMoment moment)
{
    int64_t step = trainer_steps(trainer->run.trainer);
    bool best = moment == MOMENT_EPOCH && trainer_best_step(trainer->run.trainer) == step;
    if (!is_due(trainer, moment, step, best))
        return;
    trainer->checkpoint_status = save(trainer, step, best);
    trainer->saved_at = seconds();
    if (trainer->checkpoint_status == NNC_OK)
        trainer->saved_step = step;
    else
        add_reason(trainer);
}
