/* The thread pool: every item once, chunks as promised, nesting, several callers, many sizes. Meant
 * to run under TSan too. */
#include "runtime/train/pool.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { ITEMS = 5000 };

typedef struct {
    int marks[ITEMS];
    int64_t count, grain;
    atomic_int faults, chunks;
} Marks;

static void mark(const nnc_call *call, void *const *args, int64_t begin, int64_t end)
{
    (void)call;
    Marks *marks = args[0];
    if (begin >= end || end > marks->count)
        atomic_fetch_add(&marks->faults, 1);
    if (marks->grain > 0 &&
        (begin % marks->grain != 0 || (end % marks->grain != 0 && end != marks->count)))
        atomic_fetch_add(&marks->faults, 1);
    for (int64_t i = begin; i < end; i++)
        marks->marks[i]++;
    atomic_fetch_add(&marks->chunks, 1);
}

static void check_once(Pool *pool, int64_t count, int64_t grain)
{
    Marks marks = {.count = count, .grain = grain};
    void *args[] = {&marks};
    pool_run(pool, mark, NULL, args, count, grain);
    cr_assert_eq(atomic_load(&marks.faults), 0, "count %ld grain %ld", (long)count, (long)grain);
    for (int64_t i = 0; i < ITEMS; i++)
        cr_assert_eq(marks.marks[i], i < count, "item %ld of %ld", (long)i, (long)count);
    if (grain <= 0 || count <= grain)
        cr_assert_eq(atomic_load(&marks.chunks), count > 0);
}

Test(pool, every_item_once)
{
    static const int64_t counts[] = {0, 1, 2, 7, 64, 1000, ITEMS},
                         grains[] = {0, 1, 3, 64, 4999, ITEMS};
    for (int threads = 1; threads <= 8; threads++) {
        Pool *pool = pool_new(threads, threads % 2 == 0);
        cr_assert_eq(pool_threads(pool), threads);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (size_t k = 0; k < sizeof grains / sizeof *grains; k++)
                check_once(pool, counts[i], grains[k]);
        pool_free(pool);
    }
}

Test(pool, many_small_jobs_after_each_other)
{
    Pool *pool = pool_new(3, false);
    int64_t sum = 0;
    Marks marks = {.count = 40, .grain = 1};
    void *args[] = {&marks};
    for (int round = 0; round < 3000; round++) {
        if (round % 1000 == 999) { /* let the workers fall asleep */
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
        pool_run(pool, mark, NULL, args, 40, 1);
    }
    for (int i = 0; i < 40; i++)
        sum += marks.marks[i];
    cr_assert_eq(sum, 40 * 3000);
    cr_assert_eq(atomic_load(&marks.faults), 0);
    pool_free(pool);
}

typedef struct {
    Pool *pool;
    Marks *inner;
} Nest;

static void nested(const nnc_call *call, void *const *args, int64_t begin, int64_t end)
{
    Nest *nest = args[0];
    for (int64_t i = begin; i < end; i++) {
        void *inner[] = {&nest->inner[i]};
        pool_run(nest->pool, mark, call, inner, 100, 1);
    }
}

Test(pool, nested_calls_run_inline)
{
    static Marks inner[20];
    memset(inner, 0, sizeof inner);
    for (int i = 0; i < 20; i++)
        inner[i].count = 100;
    Nest nest = {pool_new(4, true), inner};
    void *args[] = {&nest};
    pool_run(nest.pool, nested, NULL, args, 20, 1);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(atomic_load(&inner[i].chunks), 1);
        for (int k = 0; k < 100; k++)
            cr_assert_eq(inner[i].marks[k], 1);
    }
    pool_free(nest.pool);
}

static void *second_caller(void *pool)
{
    for (int i = 0; i < 200; i++)
        check_once(pool, 300, 1);
    return NULL;
}

Test(pool, two_callers)
{
    Pool *pool = pool_new(3, false);
    pthread_t other;
    cr_assert_eq(pthread_create(&other, NULL, second_caller, pool), 0);
    second_caller(pool);
    pthread_join(other, NULL);
    pool_free(pool);
}

Test(pool, resize)
{
    Pool *pool = pool_new(0, true);
    cr_assert_eq(pool_threads(pool), pool_cpus());
    for (int threads = 1; threads <= 5; threads++) {
        pool_resize(pool, threads);
        cr_assert_eq(pool_threads(pool), threads);
        check_once(pool, 1234, 5);
    }
    pool_free(pool);
    pool_free(NULL);
}
