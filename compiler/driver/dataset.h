/* Datasets: the plan of a `dataset` block becomes tables in memory and the three parts of a run. */
#ifndef NNC_DRIVER_DATASET_H
#define NNC_DRIVER_DATASET_H
#include "compiler/driver/handles.h"

typedef struct {
    Arena *arena; /* of fields and paths */
    DataTable
        *tables[PART_COUNT];   /* by nnc_part, NULL where a part is cut from the training table */
    int64_t *rows[PART_COUNT]; /* of cut parts */
    DataPart parts[PART_COUNT];
} Dataset;

/* Reads every source of the plan, splits, checks fields. Errors are in the context; dataset_free in
 * any case. */
nnc_status dataset_load(nnc_program *program, const DatasetPlan *plan, uint64_t seed,
                        Dataset *dataset);
void dataset_free(Dataset *dataset);
/* The statistics of the training rows (mean, then standard deviation, in the type of the tensors):
 * two arrays in `arena`. */
nnc_status dataset_stat(nnc_program *program, const Dataset *dataset, const StatPlan *stat,
                        Arena *arena, void **mean, void **deviation);

#endif
