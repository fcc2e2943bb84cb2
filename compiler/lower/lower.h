/* Lowering: a schedule becomes a kernel program. One function per kind of group (table in lower.c);
 * the plan kernel computes arena offsets and trip counts from the free dimensions; equal kernels
 * are shared. Nothing here changes arithmetic: the bits are those of the interpreter on the same
 * graph. */
#ifndef NNC_LOWER_LOWER_H
#define NNC_LOWER_LOWER_H
#include "compiler/kernel/kir.h"
#include "compiler/schedule/schedule.h"

typedef struct {
    int vector_bytes;                     /* as in TargetDescription; 0: 64 */
    int vector_registers;                 /* 0: 32 */
    int64_t l1_bytes, l2_bytes, l3_bytes; /* 0: 32 KiB, 1 MiB, 8 MiB */
    uint64_t random_plan; /* tests: how products are cut and packed is drawn from this seed, 0: the
                             best plan */
    bool naive_contract; /* the slow obvious loops of lower_naive.c in place of tiles (an oracle for
                            tests) */
} LowerOptions;

typedef struct {
    KProgram *program;
    const Node **failure_nodes;  /* per failure site: whose check, index or division it is */
    const Group **launch_groups; /* per launch: the group that it is a part of */
} LowerResult;

/* `name` is a C identifier; symbols are NAME_plan and NAME_step. */
LowerResult lower_program(Arena *arena, const Schedule *schedule, const LowerOptions *options,
                          const char *name);
/* For ScheduleOptions.scratch (user is a LowerOptions): what lower_contract wants. In
 * lower_contract.c. */
const Dim *lower_contract_scratch(void *user, const Schedule *schedule, const Group *group,
                                  int32_t *packed);

#endif
