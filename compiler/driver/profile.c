/* How launches are timed: the code tells the observer before each of them, so the time between two
 * calls belongs to the launch of the first one.
 *
 *   observe(0)  kernel  observe(1)  kernel  observe(2 = the end)
 *
 * The address of the nnc_call is also that of the Watch around it, which is how the observer finds
 * its books without any state outside of the call. For a trace the pool is asked to run a kernel
 * that notes the time around each chunk of the real one. */
#include "compiler/driver/profile.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    nnc_call call; /* first: see above */
    Profile *profile;
    int64_t current; /* launch, -1: none */
    double begun;
} Watch;

struct Profile {
    const Function *function;
    Specimen *specimen;
    Pool *pool;
    uint32_t launches, steps, capacity;
    double *seconds; /* [step][launch], then one more: the whole step */
    uint32_t *calls;
    bool tracing;
    double origin;
    ProfileSlice *slices;
    uint32_t slice_count, slice_capacity;
    pthread_mutex_t lock; /* of slices and lanes */
    pthread_t lanes[PROFILE_LANES];
    int lane_count;
    uint64_t step_number;
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Slices that find no memory are left out. */
static void add_slice(Profile *profile, ProfileSlice slice)
{
    if (profile->slice_count == profile->slice_capacity) {
        uint32_t capacity = profile->slice_capacity * 2 + 256;
        ProfileSlice *grown = realloc(profile->slices, capacity * sizeof *grown);
        if (!grown)
            return;
        profile->slices = grown;
        profile->slice_capacity = capacity;
    }
    profile->slices[profile->slice_count++] = slice;
}

void profile_observe(const nnc_call *call, int64_t launch)
{
    Watch *watch = (Watch *)call;
    Profile *profile = watch->profile;
    double now = seconds_now();
    if (watch->current >= 0) {
        profile->seconds[(size_t)profile->steps * (profile->launches + 1) + (size_t)watch->current] +=
            now - watch->begun;
        profile->calls[watch->current]++;
        if (profile->tracing) {
            pthread_mutex_lock(&profile->lock);
            add_slice(profile, (ProfileSlice){(uint32_t)watch->current, -1,
                                              watch->begun - profile->origin,
                                              now - profile->origin});
            pthread_mutex_unlock(&profile->lock);
        }
    }
    watch->current = launch < (int64_t)profile->launches ? launch : -1;
    watch->begun = profile->tracing ? seconds_now() : now;
}

/* ---- chunks of threads ---- */

typedef struct {
    Watch *watch;
    nnc_kernel *kernel;
    void *const *args;
} Chunked;

static int lane_of(Profile *profile)
{
    pthread_t self = pthread_self();
    for (int i = 0; i < profile->lane_count; i++)
        if (pthread_equal(profile->lanes[i], self))
            return i;
    if (profile->lane_count == PROFILE_LANES)
        return PROFILE_LANES - 1;
    profile->lanes[profile->lane_count] = self;
    return profile->lane_count++;
}

static void noted_chunk(const nnc_call *call, void *const *args, int64_t begin, int64_t end)
{
    const Chunked *chunked = (const Chunked *)(const void *)args;
    Profile *profile = chunked->watch->profile;
    double before = seconds_now();
    chunked->kernel(call, chunked->args, begin, end);
    double after = seconds_now();
    pthread_mutex_lock(&profile->lock);
    add_slice(profile, (ProfileSlice){(uint32_t)chunked->watch->current, lane_of(profile),
                                      before - profile->origin, after - profile->origin});
    pthread_mutex_unlock(&profile->lock);
}

static void noted_parallel(void *pool, nnc_kernel *kernel, const nnc_call *call, void *const *args,
                           int64_t count, int64_t grain)
{
    Chunked chunked = {(Watch *)call, kernel, args};
    pool_run(pool, noted_chunk, call, (void *const *)(void *)&chunked, count, grain);
}

/* ---- steps ---- */

Profile *profile_new(const Function *function, Specimen *specimen, uint32_t launches, Pool *pool)
{
    Profile *profile = calloc(1, sizeof *profile);
    if (!profile)
        return NULL;
    profile->function = function;
    profile->specimen = specimen;
    profile->launches = launches;
    profile->pool = pool;
    profile->calls = calloc(launches + 1, sizeof *profile->calls);
    pthread_mutex_init(&profile->lock, NULL);
    profile->lanes[profile->lane_count++] = pthread_self();
    if (profile->calls)
        return profile;
    profile_free(profile);
    return NULL;
}

void profile_free(Profile *profile)
{
    if (!profile)
        return;
    pthread_mutex_destroy(&profile->lock);
    free(profile->seconds);
    free(profile->calls);
    free(profile->slices);
    free(profile);
}

/* Room for the times of one more step. */
static bool reserve(Profile *profile)
{
    size_t row = profile->launches + 1;
    if (profile->steps == profile->capacity) {
        uint32_t capacity = profile->capacity * 2 + 16;
        double *grown = realloc(profile->seconds, capacity * row * sizeof *grown);
        if (!grown)
            return false;
        profile->seconds = grown;
        profile->capacity = capacity;
    }
    memset(profile->seconds + profile->steps * row, 0, row * sizeof(double));
    return true;
}

static const FailureSite *run_once(Profile *profile, double *taken)
{
    const Function *function = profile->function;
    const Specimen *specimen = profile->specimen;
    Watch watch = {.call = {.dims = specimen->dims,
                            .table = specimen->table,
                            .buffers = specimen->buffers,
                            .arena = specimen->arena,
                            .step = profile->step_number++,
                            .pool = profile->pool,
                            .failures = specimen->failures,
                            .externs = function->externs,
                            .extern_users = function->extern_users},
                   .profile = profile,
                   .current = -1};
    if (profile->pool)
        watch.call.parallel = profile->tracing ? noted_parallel : pool_run;
    for (int i = 0; i < function->failure_count; i++)
        specimen->failures[i] = -1;
    memset(profile->calls, 0, profile->launches * sizeof *profile->calls);
    double begin = seconds_now();
    function->step(function, &watch.call);
    *taken = seconds_now() - begin;
    for (int i = 0; i < function->failure_count; i++)
        if (specimen->failures[i] != -1)
            return &function->sites[i];
    return NULL;
}

const FailureSite *profile_step(Profile *profile, bool keep)
{
    double taken;
    if (!reserve(profile))
        return NULL;
    const FailureSite *failed = run_once(profile, &taken);
    if (keep) {
        profile->seconds[(size_t)profile->steps * (profile->launches + 1) + (size_t)profile->launches] = taken;
        profile->steps++;
    }
    return failed;
}

void profile_trace(Profile *profile)
{
    double taken;
    if (!reserve(profile))
        return;
    profile->tracing = true;
    profile->slice_count = 0;
    profile->origin = seconds_now();
    run_once(profile, &taken);
    profile->tracing = false;
}

const ProfileSlice *profile_slices(const Profile *profile, uint32_t *count)
{
    *count = profile->slice_count;
    return profile->slices;
}

uint32_t profile_steps(const Profile *profile)
{
    return profile->steps;
}

double profile_total(const Profile *profile, uint32_t step)
{
    return profile->seconds[(size_t)step * (profile->launches + 1) + profile->launches];
}

double profile_seconds(const Profile *profile, uint32_t step, uint32_t launch)
{
    return profile->seconds[(size_t)step * (profile->launches + 1) + launch];
}

uint32_t profile_calls(const Profile *profile, uint32_t launch)
{
    return profile->calls[launch];
}
