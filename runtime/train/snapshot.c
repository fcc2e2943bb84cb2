/* The copy of everything that a step changes, to which a run goes back when it diverges
 * (diverge.c). In: the tensors of a trainer between two steps. Out: the same tensors, back.
 *
 * A small copy is memory. A large one would double what training needs, so it goes to a file
 * without a name in /var/tmp, which the system forgets with the process:
 *
 *   411 million weights, Adam: 4.9 GB in a file every 256 steps, 19 MB a step
 *
 * unless epochs are so short that writing would cost more than training, since every epoch
 * begins with a copy. Where the disk refuses memory takes its place, and where memory refuses
 * the model alone is copied: then no step can be made again. */
#include "runtime/train/trainer_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NO_FILE = -1 };
#define FILE_FROM (INT64_C(256) << 20)     /* bytes that are worth a file */
#define FILE_PER_STEP (INT64_C(64) << 20)  /* bytes to write for every step, at most */

static bool in_file(const RunTensor *spec)
{
    return spec->role != ROLE_STAT;
}

static bool wants_file(const Trainer *trainer)
{
    const TrainSpec *spec = trainer->spec;
    int64_t bytes = 0, steps = steps_of_epoch(spec);
    for (int i = 0; i < spec->tensor_count; i++)
        bytes += in_file(&spec->tensors[i]) ? (int64_t)tensor_bytes(&spec->tensors[i]) : 0;
    steps = steps > SNAPSHOT_STEPS ? SNAPSHOT_STEPS : steps;
    return bytes >= (spec->snapshot_memory ? spec->snapshot_memory : FILE_FROM) &&
           bytes <= steps * FILE_PER_STEP;
}

/* A file that has lost its name already. */
static int open_file(const char *folder)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/nnc-XXXXXX", folder ? folder : "/var/tmp");
    int file = length < (int)sizeof path ? mkstemp(path) : NO_FILE;
    if (file != NO_FILE)
        (void)unlink(path);
    return file;
}

typedef ssize_t Transfer(int file, void *data, size_t bytes, off_t at);

static ssize_t put(int file, void *data, size_t bytes, off_t at)
{
    return pwrite(file, data, bytes, at);
}

static ssize_t get(int file, void *data, size_t bytes, off_t at)
{
    return pread(file, data, bytes, at);
}

static bool transfer(const Trainer *trainer, Transfer *piece)
{
    const TrainSpec *spec = trainer->spec;
    off_t at = 0;
    for (int i = 0; i < spec->tensor_count; i++) {
        size_t left = in_file(&spec->tensors[i]) ? tensor_bytes(&spec->tensors[i]) : 0;
        for (char *data = trainer->tensors[i]; left > 0;) {
            ssize_t moved = piece(trainer->snapshot_file - 1, data, left, at);
            if (moved < 0 && errno == EINTR)
                continue;
            if (moved <= 0)
                return false;
            data += moved;
            at += moved;
            left -= (size_t)moved;
        }
    }
    return true;
}

static bool take_in_file(Trainer *trainer)
{
    if (!trainer->snapshot_file)
        trainer->snapshot_file = open_file(trainer->spec->snapshot_folder) + 1;
    if (trainer->snapshot_file && transfer(trainer, put))
        return true;
    snapshot_drop(trainer);
    return false;
}

bool snapshot_take(Trainer *trainer)
{
    trainer->snapshot_step = trainer->step;
    if (trainer->can_replay && wants_file(trainer) && take_in_file(trainer))
        return true;
    trainer->can_replay =
        trainer->can_replay && tensors_copy(trainer, COPY_ALL, &trainer->snapshot);
    if (trainer->can_replay)
        return true;
    snapshot_drop(trainer);
    return tensors_copy(trainer, COPY_MODEL, &trainer->snapshot);
}

bool snapshot_restore(Trainer *trainer)
{
    trainer->step = trainer->snapshot_step;
    if (trainer->snapshot_file)
        return transfer(trainer, get);
    tensors_restore(trainer, trainer->snapshot);
    return true;
}

void snapshot_drop(Trainer *trainer)
{
    if (trainer->snapshot_file)
        close(trainer->snapshot_file - 1);
    trainer->snapshot_file = 0;
    tensors_discard(trainer, trainer->snapshot);
    trainer->snapshot = NULL;
}
