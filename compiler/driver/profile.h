/* A step that is watched: how long every launch takes, and who did what when.
 *
 * Ownership: the Profile owns what it has measured; the function and the pool outlive it. */
#ifndef NNC_DRIVER_PROFILE_H
#define NNC_DRIVER_PROFILE_H
#include "compiler/driver/specimen.h"
#include "runtime/train/pool.h"

enum { PROFILE_LANES = 64 };

typedef struct {
    uint32_t launch;
    int lane;          /* -1: the launch as a whole; else a thread, 0 the one that called */
    double begin, end; /* seconds since the step began */
} ProfileSlice;

typedef struct Profile Profile;

/* What compiled code calls (CompileOptions.observer). */
void profile_observe(const nnc_call *call, int64_t launch);

/* NULL: memory was refused. */
Profile *profile_new(const Function *function, Specimen *specimen, uint32_t launches, Pool *pool);
void profile_free(Profile *profile);
/* Runs the step once; its times are kept as the next column. The first site that failed, or
 * NULL. */
const FailureSite *profile_step(Profile *profile, bool keep);
/* Once more with slices of every thread instead of times. */
void profile_trace(Profile *profile);
const ProfileSlice *profile_slices(const Profile *profile, uint32_t *count);
uint32_t profile_steps(const Profile *profile);                                 /* kept ones */
double profile_total(const Profile *profile, uint32_t step);                    /* seconds */
double profile_seconds(const Profile *profile, uint32_t step, uint32_t launch); /* of all its calls */
uint32_t profile_calls(const Profile *profile, uint32_t launch); /* in the last step */

#endif
