/* Weights of a trainer to and from safetensors files, by name. */
#ifndef NNC_DRIVER_WEIGHTS_H
#define NNC_DRIVER_WEIGHTS_H
#include "compiler/driver/handles.h"

/* Writes parameters, states and statistics. */
nnc_status weights_save(nnc_context *context, Trainer *trainer, const TrainSpec *spec, const char *path);
/* Fills tensors by name. Without `partial` a missing, unknown or wrongly shaped name is an error. */
nnc_status weights_load(nnc_context *context, Trainer *trainer, const TrainSpec *spec, const char *path, bool partial);

#endif
