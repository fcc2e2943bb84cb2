/* The list of launches with loops unrolled, in the order in which a step calls them, is walked
 * along with the step. */
#include "tests/bench/support/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_KERNELS = 8192, MAX_LAUNCHES = 1 << 20, NAME_BYTES = 64, SHAPES_BYTES = 160 };

typedef struct {
    char name[NAME_BYTES], shapes[SHAPES_BYTES]; /* of the arguments of its first launch */
    double seconds;
    long launches; /* of one step */
} KernelTime;

struct Profile {
    Pool *pool;
    const char *text;
    int64_t *table;
    KernelTime *kernels; /* the last one is what runs between launches */
    int kernel_count;
    int *sequence; /* kernels in the order of their launches */
    int sequence_count, at;
    double begun, last, total;
    bool counts;
    int steps;
};

/* Of the processor on one thread, so that neighbours do not count. */
static double clock_of(const Profile *profile)
{
    struct timespec t;
    clock_gettime(profile->pool ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int kernel_named(Profile *profile, const char *name)
{
    for (int i = 0; i < profile->kernel_count; i++)
        if (strcmp(profile->kernels[i].name, name) == 0)
            return i;
    if (profile->kernel_count == MAX_KERNELS)
        exit(1);
    snprintf(profile->kernels[profile->kernel_count].name, NAME_BYTES, "%s", name);
    return profile->kernel_count++;
}

static const char *next_line(const char *at)
{
    const char *end = strchr(at, '\n');
    return end ? end + 1 : at + strlen(at);
}

/* "[128, B, 1024]" of the buffer "#39 arena stack: f32[128, B, 1024] at table[9]" */
static void add_shape(const Profile *profile, const char *number, size_t length, char *shapes)
{
    char start[32];
    snprintf(start, sizeof start, "\n  %.*s ", (int)length, number);
    const char *line = strstr(profile->text, start), *shape = line ? strstr(line, ": ") : NULL;
    const char *open = shape ? shape + 2 + strcspn(shape + 2, "[\n") : "";
    size_t used = strlen(shapes), size = *open == '[' ? strcspn(open, "]") + 1 : 0;
    if (size > 0 && used + size + 2 < SHAPES_BYTES)
        snprintf(shapes + used, SHAPES_BYTES - used, " %.*s", (int)size, open);
}

/* of "launch NAME(#0, #71, #6) for .." */
static void add_shapes(const Profile *profile, const char *line, char *shapes)
{
    const char *end = strchr(line, ')');
    for (const char *at = strchr(line, '#'); at && at < end; at = strchr(at + 1, '#'))
        add_shape(profile, at, 1 + strspn(at + 1, "0123456789"), shapes);
}

/* A launch of `line` that the run time sees: it has more items than its grain. */
static void add_launch(Profile *profile, const char *line)
{
    char name[NAME_BYTES];
    int slot;
    long grain;
    const char *rest = strstr(line, ") for table[");
    if (sscanf(line, " launch %63[^(]", name) != 1 || !rest ||
        sscanf(rest, ") for table[%d] grain %ld", &slot, &grain) != 2)
        return;
    int kernel = kernel_named(profile, name);
    if (!profile->kernels[kernel].shapes[0])
        add_shapes(profile, line, profile->kernels[kernel].shapes);
    bool seen = profile->table[slot] > grain && grain > 0;
    if (seen && profile->sequence_count < MAX_LAUNCHES)
        profile->sequence[profile->sequence_count++] = kernel;
}

/* Lines up to the `}` that closes them; returns the line after it. */
static const char *read_lines(Profile *profile, const char *line)
{
    while (*line && strncmp(line, "kernel ", 7) != 0) {
        const char *text = line + strspn(line, " ");
        int slot;
        if (*text == '}')
            return next_line(line);
        if (sscanf(text, "loop %*s < table[%d]", &slot) == 1) {
            const char *body = next_line(line), *after = body;
            for (int64_t i = 0; i < profile->table[slot] || i == 0; i++)
                after = read_lines(profile, body);
            line = after;
            continue;
        }
        if (strncmp(text, "launch ", 7) == 0)
            add_launch(profile, text);
        line = next_line(line);
    }
    return line;
}

Profile *profile_new(const char *kernel_text, const Function *function, const int64_t *dims,
                     Pool *pool)
{
    Profile *profile = calloc(1, sizeof *profile);
    profile->pool = pool;
    profile->text = kernel_text;
    profile->table = calloc((size_t)function->table_size + 1, sizeof *profile->table);
    profile->kernels = calloc(MAX_KERNELS + 1, sizeof *profile->kernels);
    profile->sequence = calloc(MAX_LAUNCHES, sizeof *profile->sequence);
    function->plan(function, dims, profile->table);
    const char *line = strstr(kernel_text, "  launch ");
    const char *loop = strstr(kernel_text, "  loop ");
    if (loop && loop < line)
        line = loop;
    for (const char *from = line ? line : ""; *from && strncmp(from, "kernel ", 7) != 0;)
        from = read_lines(profile, from);
    kernel_named(profile, "(not split: small kernels and calls)");
    return profile;
}

void profile_begin(Profile *profile, bool counts)
{
    profile->counts = counts;
    profile->at = 0;
    profile->begun = profile->last = clock_of(profile);
}

static void add_time(Profile *profile, int kernel, double now)
{
    if (profile->counts)
        profile->kernels[kernel].seconds += now - profile->last;
    profile->last = now;
}

void profile_launch(void *user, nnc_kernel *kernel, const nnc_call *call, void *const *args,
                    int64_t count, int64_t grain)
{
    Profile *profile = user;
    add_time(profile, profile->kernel_count - 1, clock_of(profile));
    if (profile->pool)
        pool_run(profile->pool, kernel, call, args, count, grain);
    else
        kernel(call, args, 0, count);
    int which = profile->at < profile->sequence_count ? profile->sequence[profile->at++]
                                                      : profile->kernel_count - 1;
    if (profile->counts)
        profile->kernels[which].launches++;
    add_time(profile, which, clock_of(profile));
}

void profile_end(Profile *profile)
{
    double now = clock_of(profile);
    add_time(profile, profile->kernel_count - 1, now);
    if (profile->at != profile->sequence_count)
        fprintf(stderr, "profile: %d launches of %d were seen\n", profile->at,
                profile->sequence_count);
    if (profile->counts) {
        profile->total += now - profile->begun;
        profile->steps++;
    }
}

static int slower(const void *a, const void *b)
{
    const KernelTime *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

void profile_print(const Profile *profile)
{
    qsort(profile->kernels, (size_t)profile->kernel_count, sizeof *profile->kernels, slower);
    printf("%12.1f us a step, %d steps, %d launches\n", 1e6 * profile->total / profile->steps,
           profile->steps, profile->sequence_count);
    for (int i = 0; i < profile->kernel_count && profile->kernels[i].seconds > 0; i++) {
        const KernelTime *kernel = &profile->kernels[i];
        printf("%12.1f  %5.3f  %5ldx  %s%s\n", 1e6 * kernel->seconds / profile->steps,
               kernel->seconds / profile->total, kernel->launches / profile->steps, kernel->name,
               kernel->shapes);
    }
}
