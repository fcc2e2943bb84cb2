/* What a run was told, as words: two runs with the same words end with the same bytes. It stands
 * in every checkpoint, so that the checkpoint of another program, of other data or of other
 * settings is refused with the names of what differs. */
#ifndef NNC_DRIVER_CONFIGURATION_H
#define NNC_DRIVER_CONFIGURATION_H
#include "compiler/driver/run.h"
#include "runtime/train/state.h"

typedef struct {
    StateItem items[STATE_ITEMS];
    int count;
    bool length_matters; /* a step reads how long the run is, as a schedule that ends with it does */
} Configuration;

/* In the arena of the run. Reads all of the data once. */
Configuration *configuration_of(const Run *run);
const char *configuration_find(const StateItem *items, int count, const char *key); /* NULL: none */
/* Does a checkpoint belong to this run? Else an error that says what differs. `path` is for the
 * message. A run whose steps do not know its length may be made longer. */
bool configuration_matches(const Configuration *ours, const TrainState *theirs, const char *path,
                           Diag *diag);

#endif
