/* The folder of a run:
 *
 *   run.json, log.jsonl, weights.safetensors    what was run, its events, the weights at the end
 *   checkpoints/step-500/ step-1000/ ...        the newest `keep`, and the best one (runtime/train/checkpoint.h)
 *   checkpoints/last, checkpoints/best          text files with one name: step-1000
 *
 * Every change is a rename, so a process that is killed at any moment leaves a folder that the
 * next one can go on with. The log is locked while a process writes to it. */
#ifndef NNC_DRIVER_RUNDIR_H
#define NNC_DRIVER_RUNDIR_H
#include "compiler/driver/trainer_handle.h"
#include "runtime/train/checkpoint.h"

/* The checkpoint that `path` names: a checkpoint's folder, a pointer to one (checkpoints/best),
 * or a run's folder, of which it is the newest whole one. *found is its folder, in `arena`.
 * NULL: *problem says why, also about older ones; when it is not NULL, *problem says which newer
 * ones were skipped. */
Checkpoint *checkpoint_find(Arena *arena, const char *path, const char **found, StrBuf *problem);
/* The seed of the run in this folder, for runs that go on; 0: it does not say. */
uint64_t rundir_seed(const char *run_dir);

/* Puts the trainer where the newest whole checkpoint is; trainer->resumed says whether there was
 * one. NNC_DATA: it belongs to another run. */
nnc_status rundir_resume(nnc_trainer *trainer);
/* Makes or takes over the folder, and locks it. */
nnc_status rundir_start(nnc_trainer *trainer, bool may_go_on);
void rundir_close(nnc_trainer *trainer);
void rundir_log(nnc_trainer *trainer, const nnc_event *event);
/* Writes a checkpoint when one is due, points at it and removes what is too old. */
void rundir_moment(nnc_trainer *trainer, TrainMoment moment);
nnc_status rundir_checkpoint(nnc_trainer *trainer, const char *path); /* at any path, now */
nnc_status rundir_take(nnc_trainer *trainer, const Checkpoint *checkpoint, const char *path);

#endif
