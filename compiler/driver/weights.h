/* Weights of a trainer to and from safetensors files, by name. */
#ifndef NNC_DRIVER_WEIGHTS_H
#define NNC_DRIVER_WEIGHTS_H
#include "compiler/driver/handles.h"

/* Writes parameters, states and statistics. */
nnc_status weights_save(nnc_context *context, Trainer *trainer, const TrainSpec *spec,
                        const char *path);
typedef enum {
    WEIGHTS_ALL,      /* a missing or unknown name is an error */
    WEIGHTS_TRAINING, /* the same, but statistics may be missing: those of the data stay */
    WEIGHTS_PARTIAL   /* what matches in name, shape and type is taken */
} WeightsMode;

/* Fills tensors by name. With `matched` a sentence about what was taken and what was not is added. */
nnc_status weights_load(nnc_context *context, Trainer *trainer, const TrainSpec *spec,
                        const char *path, WeightsMode mode, StrBuf *matched);

#endif
