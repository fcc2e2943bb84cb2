/* kill -9 at any moment, then --resume: the run ends with the same bytes as one that was left
 * alone.
 *
 * For every program of tests/survive (or NNC_SURVIVE_PROGRAM=FILE) the command trains it once in
 * peace. Then it is started again and again with --resume in another folder and killed: after a
 * random time, or, every second time, a random moment after a checkpoint has begun to be
 * written. After every kill all checkpoints are whole; when a run gets through, its folder is
 * compared and the next one begins. NNC_KILLS says how often (make survive: 200), NNC_KILL_SEED
 * where the random numbers begin. */
#include "compiler/driver/steps.h"
#include "runtime/base/rng.h"
#include "runtime/train/checkpoint.h"
#include "tests/support/files.h"
#include "tests/support/resume.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { USUAL_KILLS = 4, LONGEST_MS = 120000 };

typedef struct {
    const char *program, *folder;
    char *whole, *run, *checkpoints;
    int64_t whole_ms; /* of the run in peace */
    uint64_t seed, draws;
    int kills, saving, runs;
} Survival;

static int64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t draw(Survival *s, int64_t below)
{
    return (int64_t)(rng_word(s->seed, 0, 0, s->draws++) % (uint64_t)(below > 0 ? below : 1));
}

static pid_t start(const Survival *s, const char *folder, int threads)
{
    char option[32];
    snprintf(option, sizeof option, "--threads=%d", threads);
    pid_t child = fork();
    if (child != 0)
        return child;
    char *log = files_path(s->folder, "output");
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    setenv("NNC_CACHE", "off", 1);
    execl(NNC_BINARY_DIR "/nnc", "nnc", "run", s->program, option, "--resume", "--run-dir", folder,
          (char *)NULL);
    _exit(127);
}

static void expect_ended(const Survival *s, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    size_t length;
    char *log = files_path(s->folder, "output"), *text = files_read(log, &length);
    cr_assert(false, "%s ended with status %x after %d kills: %s", s->program, status, s->kills,
              text);
}

/* Has this process a folder that it fills? */
static bool is_saving(const char *checkpoints, pid_t process)
{
    char begins[32];
    bool found = false;
    DIR *entries = opendir(checkpoints);
    snprintf(begins, sizeof begins, CHECKPOINT_TEMPORARY "%ld-", (long)process);
    for (struct dirent *entry; entries && !found && (entry = readdir(entries)) != NULL;)
        found = strncmp(entry->d_name, begins, strlen(begins)) == 0;
    if (entries)
        closedir(entries);
    return found;
}

static void sleep_microseconds(int64_t us)
{
    nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}, NULL);
}

/* True: the child ended by itself. */
static bool wait_until(pid_t child, int *status, Survival *s, int64_t ms, bool save)
{
    int64_t end = milliseconds() + ms;
    while (milliseconds() < end) {
        if (waitpid(child, status, WNOHANG) == child)
            return true;
        if (save && is_saving(s->checkpoints, child)) {
            sleep_microseconds(draw(s, 3000));
            return false;
        }
        sleep_microseconds(save ? 50 : 500);
    }
    return false;
}

static void check_whole(const Survival *s)
{
    StepList steps = steps_list(s->checkpoints);
    for (int64_t i = 0; i < steps.count; i++) {
        char name[64];
        StrBuf problem = {0};
        snprintf(name, sizeof name, "step-%lld", (long long)steps.steps[i]);
        char *path = files_path(s->checkpoints, name);
        Checkpoint *checkpoint = checkpoint_open(path, &problem);
        cr_assert_not_null(checkpoint, "after kill %d: %s: %s", s->kills, name, problem.text);
        checkpoint_close(checkpoint);
        free(path);
    }
    steps_free(&steps);
}

static void compare(Survival *s)
{
    StrBuf why = {0};
    s->runs++;
    cr_assert(resume_same(s->whole, s->run, &why), "%s, run %d, %d kills: %s", s->program, s->runs,
              s->kills, why.text);
    strbuf_free(&why);
    resume_remove(s->run);
}

/* Trains until `kills` are made, and to the end. */
static void kill_and_resume(Survival *s, int kills)
{
    int status = 0;
    while (s->kills < kills) {
        bool save = draw(s, 2) == 0;
        pid_t child = start(s, s->run, 1 + (int)draw(s, 3));
        if (wait_until(child, &status, s, save ? LONGEST_MS : draw(s, s->whole_ms), save)) {
            expect_ended(s, status);
            compare(s);
            continue;
        }
        kill(child, SIGKILL);
        cr_assert_eq(waitpid(child, &status, 0), child);
        s->kills++;
        s->saving += is_saving(s->checkpoints, child);
        check_whole(s);
    }
    pid_t child = start(s, s->run, 2);
    cr_assert_eq(waitpid(child, &status, 0), child);
    expect_ended(s, status);
    compare(s);
}

static int64_t number_of(const char *variable, int64_t usual)
{
    const char *text = getenv(variable);
    return text ? strtoll(text, NULL, 10) : usual;
}

static void survive(const char *program)
{
    char *folder = files_folder();
    int status, kills = (int)number_of("NNC_KILLS", USUAL_KILLS);
    Survival s = {.program = program,
                  .folder = folder,
                  .whole = files_path(folder, "whole"),
                  .run = files_path(folder, "run"),
                  .checkpoints = files_path(folder, "run/checkpoints"),
                  .seed = (uint64_t)number_of("NNC_KILL_SEED", 1)};
    int64_t begin = milliseconds();
    pid_t child = start(&s, s.whole, 2);
    cr_assert_eq(waitpid(child, &status, 0), child);
    expect_ended(&s, status);
    s.whole_ms = milliseconds() - begin;
    kill_and_resume(&s, kills);
    fprintf(stderr, "%s: %d kills (%d while saving), %d runs, the same bytes\n", program, s.kills,
            s.saving, s.runs);
    resume_remove(folder);
    free(s.whole);
    free(s.run);
    free(s.checkpoints);
    free(folder);
}

Test(survive, killed_runs_end_with_the_same_bytes, .timeout = 7200)
{
    const char *given = getenv("NNC_SURVIVE_PROGRAM");
    if (given) {
        survive(given);
        return;
    }
    struct dirent **entries;
    int count = scandir(NNC_SOURCE_DIR "/tests/survive", &entries, NULL, alphasort), programs = 0;
    for (int i = 0; i < count; i++) {
        size_t length = strlen(entries[i]->d_name);
        if (length > 3 && strcmp(entries[i]->d_name + length - 3, ".nn") == 0) {
            char *path = files_path(NNC_SOURCE_DIR "/tests/survive", entries[i]->d_name);
            survive(path);
            programs++;
            free(path);
        }
        free(entries[i]);
    }
    free(entries);
    cr_assert_gt(programs, 0);
}
