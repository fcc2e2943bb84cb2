/* A pool of pinned threads with one job at a time.
 *
 * In: a kernel and a range of items. Out: every item done once. All traffic goes through one atomic
 * word, the ticket:
 *
 *   ticket = generation << 32 | chunks that nobody has taken yet
 *
 * A thread takes a chunk by decrementing the low half with compare-and-swap. Success proves that
 * the job of that generation is still open (its caller cannot leave before the chunk is done), so
 * the fields of the job may be read; a late worker sees zero and touches nothing. The caller never
 * waits for threads that took no part: on a busy machine a worker that has not woken yet costs
 * nothing.
 *
 * Threads without work spin for a short, bounded time (a training step is a chain of jobs a few
 * microseconds apart), then sleep on a condition variable. With more threads than CPUs they do not
 * spin. */
#include "runtime/train/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { SPIN_NANOSECONDS = 40000, PAUSES_PER_LOOK = 32, CHUNKS_PER_THREAD = 16, MAX_THREADS = 1024 };

typedef struct {
    nnc_kernel *kernel;
    const nnc_call *call;
    void *const *args;
    int64_t count, chunk;
    uint32_t chunks;
} Job;

typedef struct {
    Pool *pool;
    pthread_t thread;
    int cpu; /* -1: anywhere */
} Worker;

struct Pool {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic uint32_t done;     /* chunks of the job that are finished */
    _Alignas(64) _Atomic uint32_t sleepers; /* workers in or about to enter wake.wait */
    atomic_bool caller_sleeps;
    atomic_bool stop;
    atomic_flag busy;
    Job job; /* written by the caller while no chunk is open */
    pthread_mutex_t mutex;
    pthread_cond_t wake, finished;
    Worker *workers;
    int worker_count;
    bool pin, spin;
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Looks again and again for a short time; true: found. */
static bool spin_for(const Pool *pool, bool (*found)(const Pool *))
{
    if (!pool->spin)
        return found(pool);
    int64_t deadline = now_nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (found(pool))
                return true;
            relax();
        }
    } while (now_nanoseconds() < deadline);
    return found(pool);
}

static bool work_or_stop(const Pool *pool)
{
    return (uint32_t)atomic_load(&pool->ticket) != 0 || atomic_load(&pool->stop);
}

static bool job_is_done(const Pool *pool)
{
    return atomic_load(&pool->done) == pool->job.chunks;
}

/* Takes one chunk of whatever job is open; false: none. */
static bool take_chunk(Pool *pool, uint32_t *open_chunks)
{
    uint64_t ticket = atomic_load(&pool->ticket);
    while ((uint32_t)ticket != 0) {
        if (atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket - 1)) {
            *open_chunks = (uint32_t)ticket;
            return true;
        }
    }
    return false;
}

static void work(Pool *pool)
{
    uint32_t open_chunks;
    while (take_chunk(pool, &open_chunks)) {
        Job job = pool->job;
        int64_t begin = (int64_t)(job.chunks - open_chunks) * job.chunk;
        int64_t end = job.count - begin < job.chunk ? job.count : begin + job.chunk;
        job.kernel(job.call, job.args, begin, end);
        if (atomic_fetch_add(&pool->done, 1) + 1 == job.chunks &&
            atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

static void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set); /* a refusal changes only the speed */
}

static void *worker_main(void *argument)
{
    Worker *worker = argument;
    Pool *pool = worker->pool;
    if (worker->cpu >= 0)
        pin_to(worker->cpu);
    while (!atomic_load(&pool->stop)) {
        work(pool);
        if (spin_for(pool, work_or_stop))
            continue;
        pthread_mutex_lock(&pool->mutex);
        atomic_fetch_add(&pool->sleepers, 1);
        while (!work_or_stop(pool))
            pthread_cond_wait(&pool->wake, &pool->mutex);
        atomic_fetch_sub(&pool->sleepers, 1);
        pthread_mutex_unlock(&pool->mutex);
    }
    return NULL;
}

static void wake_workers(Pool *pool)
{
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static void wait_for_end(Pool *pool)
{
    if (spin_for(pool, job_is_done))
        return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_sleeps, true);
    while (!job_is_done(pool))
        pthread_cond_wait(&pool->finished, &pool->mutex);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->mutex);
}

void pool_run(void *opaque, nnc_kernel *kernel, const nnc_call *call, void *const *args,
              int64_t count, int64_t grain)
{
    Pool *pool = opaque;
    if (count <= 0)
        return;
    if (grain <= 0 || count <= grain || pool->worker_count == 0 ||
        atomic_flag_test_and_set(&pool->busy)) {
        kernel(call, args, 0, count);
        return;
    }
    int64_t grains = count / grain + (count % grain != 0);
    int64_t wanted = (int64_t)CHUNKS_PER_THREAD * (pool->worker_count + 1);
    int64_t per_chunk = grains / wanted + (grains % wanted != 0);
    int64_t chunks = grains / per_chunk + (grains % per_chunk != 0);
    pool->job = (Job){kernel, call, args, count, per_chunk * grain, (uint32_t)chunks};
    atomic_store(&pool->done, 0);
    uint64_t generation = (atomic_load(&pool->ticket) >> 32) + 1;
    atomic_store(&pool->ticket, generation << 32 | (uint64_t)chunks);
    wake_workers(pool);
    work(pool);
    wait_for_end(pool);
    atomic_flag_clear(&pool->busy);
}

/* Fills cpus with the CPUs this process may use, the caller's own first. Returns how many (at most
 * MAX_THREADS). */
static int allowed_cpus(int *cpus)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 0;
    int here = sched_getcpu(), count = 0, first = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < MAX_THREADS; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        if (cpu == here)
            first = count;
        cpus[count++] = cpu;
    }
    if (count > 0) {
        int swap = cpus[0];
        cpus[0] = cpus[first];
        cpus[first] = swap;
    }
    return count;
}

int pool_cpus(void)
{
    int cpus[MAX_THREADS];
    int count = allowed_cpus(cpus);
    return count > 0 ? count : 1;
}

static void start_workers(Pool *pool, int threads)
{
    int cpus[MAX_THREADS];
    int count = allowed_cpus(cpus);
    if (threads <= 0)
        threads = count > 0 ? count : 1;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    atomic_store(&pool->stop, false);
    pool->worker_count = 0;
    pool->spin = threads <= count;
    pool->workers = threads > 1 ? calloc((size_t)threads - 1, sizeof *pool->workers) : NULL;
    for (int i = 0; pool->workers != NULL && i < threads - 1; i++) {
        Worker *worker = &pool->workers[i];
        *worker = (Worker){.pool = pool, .cpu = pool->pin && threads <= count ? cpus[i + 1] : -1};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            return;
        pool->worker_count++;
    }
}

static void stop_workers(Pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->worker_count; i++)
        pthread_join(pool->workers[i].thread, NULL);
    free(pool->workers);
    pool->workers = NULL;
    pool->worker_count = 0;
}

Pool *pool_new(int threads, bool pin)
{
    Pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (pool == NULL)
        return NULL;
    *pool = (Pool){.pin = pin, .busy = ATOMIC_FLAG_INIT};
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->finished, NULL);
    start_workers(pool, threads);
    return pool;
}

void pool_free(Pool *pool)
{
    if (pool == NULL)
        return;
    stop_workers(pool);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

int pool_threads(const Pool *pool)
{
    return pool->worker_count + 1;
}

void pool_resize(Pool *pool, int threads)
{
    stop_workers(pool);
    start_workers(pool, threads);
}
