/* Where the time of a step goes. The run time's place for a thread pool (nnc_parallel) is taken by
 * a stopwatch, which sees every launch that is large enough to be cut; what runs between two of
 * them is the small kernels that generated code calls itself. The launches and their order are
 * read from `--dump=kernel`, trip counts from the step's own plan.
 *
 *   Profile *profile = profile_new(text, function, dims, pool);
 *   profile_begin(profile, true); ... a step with profile_launch ... profile_end(profile);
 *   profile_print(profile);
 *
 *      us    share  launches  kernel, shapes of the arguments of its first launch
 *   812.4   0.231        1x  train_conv_4 [B, 14, 14, 32] [..] */
#ifndef NNC_BENCH_PROFILE_H
#define NNC_BENCH_PROFILE_H
#include "runtime/train/function.h"
#include "runtime/train/pool.h"

#include <stdbool.h>

typedef struct Profile Profile;

/* pool NULL: one thread. The text outlives the profile. */
Profile *profile_new(const char *kernel_text, const Function *function, const int64_t *dims,
                     Pool *pool);
/* `counts`: false for a step that only warms up. */
void profile_begin(Profile *profile, bool counts);
void profile_end(Profile *profile);
nnc_parallel profile_launch;
void profile_print(const Profile *profile);

#endif
