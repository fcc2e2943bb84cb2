/* The struct behind nnc_trainer, for trainer.c and model.c. */
#ifndef NNC_DRIVER_TRAINER_HANDLE_H
#define NNC_DRIVER_TRAINER_HANDLE_H
#include "compiler/driver/configuration.h"

struct nnc_trainer {
    int references;
    Run run;
    const char *run_dir, *save;
    const char *init;    /* the file the weights come from, or NULL */
    const char *initial; /* what was taken from it */
    Configuration *configuration; /* made when it is needed: it reads all data */
    bool resumed;                 /* from a checkpoint in run_dir */
    int log;                      /* log.jsonl, -1: none */
    int64_t log_bytes;
    int64_t saved_step; /* of the newest checkpoint, -1: none */
    double saved_at;    /* on the monotonic clock */
    StrBuf notice;      /* for the next event */
    struct Sampler *sampler; /* made for the first sample while training */
    nnc_status save_status, checkpoint_status, log_status;
    void (*on_event)(void *user, const nnc_event *event);
    void *user;
};

/* The text of run.json: what was asked for, by what it was done, and the resolved configuration
 * with hashes of the data and of the graphs. */
void run_json(const nnc_trainer *trainer, const Configuration *told, StrBuf *out);

#endif
