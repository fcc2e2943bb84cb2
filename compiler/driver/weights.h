/* Weights of a trainer to and from safetensors files, by name. */
#ifndef NNC_DRIVER_WEIGHTS_H
#define NNC_DRIVER_WEIGHTS_H
#include "compiler/driver/dataset.h"
#include "runtime/tensor/safetensors.h"

enum { WEIGHTS_NOTES_MAX = 64 };

/* What a file of weights says beside them: the seed of the run and the words of the categories. */
typedef struct WeightsNotes {
    SafeMetadata items[WEIGHTS_NOTES_MAX];
    int count;
} WeightsNotes;

WeightsNotes *weights_notes_of_data(Arena *arena, const TrainSpec *spec, const Dataset *dataset);
WeightsNotes *weights_notes_of_file(Arena *arena, const char *path);
/* Writes parameters, states and statistics, with the notes (NULL: none). */
nnc_status weights_save(nnc_context *context, Trainer *trainer, const TrainSpec *spec,
                        const WeightsNotes *notes, const char *path);
/* The seed of the run that wrote the file; 0 when it does not say. */
uint64_t weights_seed(const char *path);
/* Do the categories of the data have the numbers that they had when the file was written? */
nnc_status weights_check_words(nnc_context *context, const Dataset *dataset, const char *path);
/* The file that `path` means: itself, the weights of a run's folder, those of a checkpoint
 * (whole ones only). NULL: an error is in the context. */
const char *weights_find(nnc_context *context, Arena *arena, const char *path);
typedef enum {
    WEIGHTS_ALL,      /* a missing or unknown name is an error */
    WEIGHTS_TRAINING, /* the same, but statistics may be missing: those of the data stay */
    WEIGHTS_PARTIAL   /* what matches in name, shape and type is taken */
} WeightsMode;

/* Fills tensors by name. With `matched` a sentence about what was taken and what was not is
 * added. */
nnc_status weights_load(nnc_context *context, Trainer *trainer, const TrainSpec *spec,
                        const char *path, WeightsMode mode, StrBuf *matched);

#endif
