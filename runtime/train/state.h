/* state.json of a checkpoint: where a run is, beside its tensors, as a text for people and for
 * the next process.
 *
 *   { "format": 1, "step": 500, "epoch": 1, "step_of_epoch": 125, ...,
 *     "configuration": { "train": "mnist_cnn", "seed": "0", ... },
 *     "files": { "weights.safetensors": "904512 5c1f0e3a77b2d901", ... },
 *     "checksum": "97a1..." }
 *
 * Numbers with a point are strings that read back to the same bits. A file is its length and its
 * file_hash; the checksum is the hash of every byte before it. Nothing in a text that is read is
 * trusted. */
#ifndef NNC_TRAIN_STATE_H
#define NNC_TRAIN_STATE_H
#include "runtime/base/arena.h"
#include "runtime/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum { STATE_FORMAT = 1, STATE_ITEMS = 32, STATE_FILES = 4 };

typedef struct {
    const char *key, *value;
} StateItem;

typedef struct {
    const char *name;
    int64_t bytes;
    uint64_t hash;
} StateFile;

typedef struct {
    int64_t step, epoch;   /* steps done; epochs finished, with their evaluation */
    int64_t step_of_epoch; /* of the epoch that is not finished */
    int64_t has_best, best_step, epochs_since_best;
    int64_t log_bytes; /* of log.jsonl, when the checkpoint was made */
    double best_value, loss, lr;
    StateItem items[STATE_ITEMS]; /* what the run was told, for comparison */
    StateFile files[STATE_FILES];
    int item_count, file_count;
} TrainState;

void state_print(const TrainState *state, StrBuf *out);
/* The end of such a text, with the checksum of `length` bytes that are copied before it. */
void state_seal(const char *text, size_t length, StrBuf *out);
/* NULL: read, with strings in `arena`; else what is wrong, a sentence without a subject. */
const char *state_read(const char *text, size_t length, Arena *arena, TrainState *state);

#endif
