/* The struct behind nnc_trainer, for trainer.c and model.c. */
#ifndef NNC_DRIVER_TRAINER_HANDLE_H
#define NNC_DRIVER_TRAINER_HANDLE_H
#include "compiler/driver/run.h"

#include <stdio.h>

struct nnc_trainer {
    int references;
    Run run;
    const char *run_dir, *save;
    const char *init;    /* the file the weights come from, or NULL */
    const char *initial; /* what was taken from it */
    FILE *log;
    nnc_status save_status;
    void (*on_event)(void *user, const nnc_event *event);
    void *user;
};

#endif
