/* Checkpoints: a folder from which another process takes a run over and ends it with the same
 * bytes.
 *
 *   step-500/weights.safetensors  parameters, states and statistics: what eval and predict read
 *   step-500/state.safetensors    everything else that a step changes, whatever it is for; "best/NAME": the weights to return
 *                                 to when the run stops early; "result/PART/NAME": metrics of the last epoch
 *   step-500/state.json           where the run is (state.h), with length and hash of the other two
 *
 * The folder is filled under a temporary name, synced, and renamed: it is whole or not there.
 * Reading trusts nothing: a folder with a missing, altered or foreign file is named and refused,
 * and the trainer stays as it was. */
#ifndef NNC_TRAIN_CHECKPOINT_H
#define NNC_TRAIN_CHECKPOINT_H
#include "runtime/tensor/safetensors.h"
#include "runtime/train/state.h"
#include "runtime/train/trainer.h"

#define CHECKPOINT_WEIGHTS "weights.safetensors"
#define CHECKPOINT_TEMPORARY "tmp-" /* folders that begin so are the remains of a killed process */

/* What the caller adds. */
typedef struct {
    const StateItem *items; /* the configuration, at most STATE_ITEMS */
    int item_count;
    int64_t log_bytes;
    const SafeMetadata *notes; /* of the weights */
    int note_count;
} CheckpointNotes;

/* Folders above are made. An older checkpoint of that name is replaced. False: errors are in
 * diag. */
bool checkpoint_write(const Trainer *trainer, const char *path, const CheckpointNotes *notes, Diag *diag);

typedef struct Checkpoint Checkpoint;

/* Reads and verifies all of it. NULL: *problem says what is wrong ("state.json does not fit its
 * checksum"). */
Checkpoint *checkpoint_open(const char *path, StrBuf *problem);
void checkpoint_close(Checkpoint *checkpoint); /* NULL is allowed */
const TrainState *checkpoint_state(const Checkpoint *checkpoint);
/* Puts the trainer where the run was; trainer_run goes on from there. False: *problem, and the
 * trainer is unchanged. */
bool checkpoint_take(const Checkpoint *checkpoint, Trainer *trainer, StrBuf *problem);

#endif
