/* Every system call of a save fails, one at a time: the linker sends open, write, fsync, close,
 * rename, mkdir and ftruncate through the functions below (cmake/parts.cmake: tests named
 * *_faults), which count and, at one of them, fail in one of the ways a system has, stay broken,
 * or end the process.
 *
 * What holds: whatever fails, there is a whole checkpoint, no folder has a part of one under its
 * name, the run goes on, says what was not written, and ends with the same bytes. */
#include "compiler/driver/steps.h"
#include "runtime/base/file.h"
#include "runtime/train/checkpoint.h"
#include "tests/support/api.h"
#include "tests/support/files.h"
#include "tests/support/resume.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum {
    CALL_OPEN,
    CALL_WRITE,
    CALL_FSYNC,
    CALL_CLOSE,
    CALL_RENAME,
    CALL_MKDIR,
    CALL_CUT
} Call;

typedef enum { FAULT_ONCE, FAULT_FROM_NOW_ON, FAULT_SHORT, FAULT_DEATH } Kind;

/* The one fault of a test process. */
static struct {
    bool armed, hit;
    Kind kind;
    int error;
    long at, count;
    Call call; /* that was hit */
} fault;

static bool strikes(Call call)
{
    if (!fault.armed || fault.count++ < fault.at || (fault.hit && fault.kind != FAULT_FROM_NOW_ON))
        return false;
    if (!fault.hit)
        fault.call = call;
    fault.hit = true;
    if (fault.kind == FAULT_DEATH)
        kill(getpid(), SIGKILL);
    errno = fault.error;
    return true;
}

int __real_open(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *data, size_t bytes);
int __real_fsync(int fd);
int __real_close(int fd);
int __real_rename(const char *from, const char *to);
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __real_mkdir(const char *path, mode_t mode);
int __real_ftruncate(int fd, off_t length);

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    unsigned mode = va_arg(args, unsigned);
    va_end(args);
    return strikes(CALL_OPEN) && fault.kind != FAULT_SHORT ? -1 : __real_open(path, flags, mode);
}

ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    if (strikes(CALL_WRITE)) {
        if (fault.kind == FAULT_SHORT)
            return __real_write(fd, data, (bytes + 1) / 2);
        return -1;
    }
    return __real_write(fd, data, bytes);
}

int __wrap_fsync(int fd)
{
    return strikes(CALL_FSYNC) && fault.kind != FAULT_SHORT ? -1 : __real_fsync(fd);
}

/* The descriptor is gone, whatever is said. */
int __wrap_close(int fd)
{
    bool bad = strikes(CALL_CLOSE) && fault.kind != FAULT_SHORT;
    int result = __real_close(fd);
    errno = bad ? fault.error : errno;
    return bad ? -1 : result;
}

int __wrap_rename(const char *from, const char *to)
{
    return strikes(CALL_RENAME) && fault.kind != FAULT_SHORT ? -1 : __real_rename(from, to);
}

int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    return strikes(CALL_RENAME) && fault.kind != FAULT_SHORT
               ? -1
               : __real_renameat2(a, from, b, to, flags);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return strikes(CALL_MKDIR) && fault.kind != FAULT_SHORT ? -1 : __real_mkdir(path, mode);
}

int __wrap_ftruncate(int fd, off_t length)
{
    return strikes(CALL_CUT) && fault.kind != FAULT_SHORT ? -1 : __real_ftruncate(fd, length);
}

/* ---- Runs ---- */

static char *folder, *text, *whole;

static void make_folder(void)
{
    folder = resume_folder();
    whole = files_path(folder, "whole");
    text = resume_text(api_text("cnn"), "    checkpoint { every = 2; keep = 2 }");
    ResumeRun run = {.text = text, .folder = whole}; /* 12 steps, 4 an epoch */
    cr_assert_eq(resume_train(&run), NNC_OK);
}

static void remove_folder(void)
{
    resume_remove(folder);
    free(folder);
    free(whole);
    free(text);
}

TestSuite(checkpoint_faults, .init = make_folder, .fini = remove_folder);

/* Every folder with the name of a checkpoint is one, and there is at least one. */
static void check_checkpoints(const char *run)
{
    char *path = files_path(run, "checkpoints");
    StepList steps = steps_list(path);
    cr_assert_gt(steps.count, 0, "call %ld", fault.at);
    for (int64_t i = 0; i < steps.count; i++) {
        char name[64];
        StrBuf problem = {0};
        snprintf(name, sizeof name, "step-%lld", (long long)steps.steps[i]);
        char *one = files_path(path, name);
        Checkpoint *checkpoint = checkpoint_open(one, &problem);
        cr_assert_not_null(checkpoint, "call %ld: %s", fault.at, problem.text);
        checkpoint_close(checkpoint);
        strbuf_free(&problem);
        free(one);
    }
    steps_free(&steps);
    free(path);
}

typedef struct {
    const char *run;
    int64_t arm, check; /* steps */
} Watch;

/* The fault lies in the save of step `arm`. */
static void watch(void *user, const nnc_event *event)
{
    const Watch *watched = user;
    if (event->kind != NNC_EVENT_STEP)
        return;
    if (event->step == watched->arm)
        fault.armed = true;
    if (event->step == watched->check) {
        fault.armed = false;
        check_checkpoints(watched->run);
    }
}

static nnc_status run_with_fault(const char *run, const Watch *watched, StrBuf *said)
{
    ResumeRun how = {.text = text,
                     .folder = run,
                     .resume = true,
                     .on_event = watch,
                     .user = (void *)watched,
                     .said = said};
    fault.armed = fault.hit = false;
    fault.count = 0;
    nnc_status status = resume_train(&how);
    fault.armed = false;
    return status;
}

static void go_on_and_compare(const char *run)
{
    StrBuf why = {0};
    ResumeRun how = {.text = text, .folder = run, .resume = true};
    cr_assert_eq(resume_train(&how), NNC_OK, "call %ld", fault.at);
    cr_assert(resume_same(whole, run, &why), "call %ld: %s", fault.at, why.text);
    strbuf_free(&why);
}

/* One fault in the save of step 6, then all is well: the run ends as if nothing had been. False:
 * no call was left to fail. */
static bool one_fault(Kind kind, int error, long at, bool harmless)
{
    char *run = files_path(folder, "run");
    Watch watched = {.run = run, .arm = 6, .check = 7};
    StrBuf said = {0}, why = {0};
    fault.kind = kind;
    fault.error = error;
    fault.at = at;
    nnc_status status = run_with_fault(run, &watched, &said);
    bool hit = fault.hit;
    cr_assert_eq(status, NNC_OK, "call %ld (%d), error %d: %s", at, (int)fault.call, error,
                 said.text);
    if (harmless)
        cr_assert(!said.text || !strstr(said.text, "not written"), "call %ld: %s", at, said.text);
    cr_assert(resume_same(whole, run, &why) || strstr(why.text, "notice"), "call %ld: %s", at,
              why.text);
    strbuf_free(&said);
    strbuf_free(&why);
    resume_remove(run);
    free(run);
    return hit;
}

static long all_faults(Kind kind, int error, bool harmless)
{
    long at = 0;
    while (one_fault(kind, error, at, harmless))
        at++;
    cr_assert_gt(at, 15, "a save has more calls than %ld", at);
    return at;
}

Test(checkpoint_faults, interrupted_calls_and_short_writes_go_on)
{
    all_faults(FAULT_ONCE, EINTR, true);
    all_faults(FAULT_SHORT, 0, true);
}

Test(checkpoint_faults, no_space)
{
    all_faults(FAULT_ONCE, ENOSPC, false);
}

Test(checkpoint_faults, input_output_error)
{
    all_faults(FAULT_ONCE, EIO, false);
}

/* From one call on, nothing works until the end: code 2, the reason is said, and the run can go
 * on. */
Test(checkpoint_faults, a_disk_that_stays_full)
{
    char *run = files_path(folder, "run");
    bool hit = true;
    for (fault.at = 0; hit; fault.at++) {
        Watch watched = {.run = run, .arm = 6, .check = -1};
        StrBuf said = {0};
        fault.kind = FAULT_FROM_NOW_ON;
        fault.error = ENOSPC;
        nnc_status status = run_with_fault(run, &watched, &said);
        hit = fault.hit && fault.at < 25; /* beyond are the saves of later steps */
        cr_assert_eq(status, NNC_DATA, "call %ld: %s", fault.at, said.text);
        cr_assert(strstr(said.text, "No space left on device"), "call %ld: %s", fault.at,
                  said.text);
        check_checkpoints(run);
        go_on_and_compare(run);
        strbuf_free(&said);
        resume_remove(run);
    }
    free(run);
}

static void disarm_at_first_step(void *user, const nnc_event *event)
{
    (void)user;
    if (event->kind == NNC_EVENT_STEP)
        fault.armed = false;
}

/* The folder, the log, run.json, or a call that does not matter: an error that says which, or a
 * run; and the next one is whole. */
Test(checkpoint_faults, at_the_beginning)
{
    char *run = files_path(folder, "run");
    int refused = 0;
    fault.kind = FAULT_ONCE;
    fault.error = ENOSPC;
    fault.hit = true;
    for (fault.at = 0; fault.hit; fault.at++) {
        StrBuf said = {0};
        ResumeRun how = {.text = text,
                         .folder = run,
                         .resume = true,
                         .on_event = disarm_at_first_step,
                         .said = &said};
        fault.hit = false;
        fault.count = 0;
        fault.armed = true;
        nnc_status status = resume_train(&how);
        fault.armed = false;
        cr_assert(status == NNC_OK ||
                      (status == NNC_DATA && strstr(said.text, "No space left on device")),
                  "call %ld: %s", fault.at, said.text);
        refused += status == NNC_DATA;
        go_on_and_compare(run);
        strbuf_free(&said);
        resume_remove(run);
    }
    cr_expect_gt(refused, 4);
    free(run);
}

/* kill -9 before every call of the first saves and of the end. */
Test(checkpoint_faults, death_at_every_call)
{
    char *run = files_path(folder, "run");
    bool died = true;
    long stride = getenv("NNC_FUZZ_ALL") ? 1 : 5;
    fault.kind = FAULT_DEATH;
    for (fault.at = 0; died; fault.at += stride) {
        pid_t child = fork();
        if (child == 0) {
            fault.armed = true; /* from the opening of the folder on */
            ResumeRun how = {.text = text, .folder = run, .resume = true};
            _exit(resume_train(&how) == NNC_OK ? 0 : 1);
        }
        int status = 0;
        cr_assert_eq(waitpid(child, &status, 0), child);
        died = WIFSIGNALED(status);
        cr_assert(died || WEXITSTATUS(status) == 0);
        go_on_and_compare(run);
        resume_remove(run);
    }
    cr_expect_gt(fault.at, 100);
    free(run);
}

/* Weights alone: the old file is there until the new one is. */
Test(checkpoint_faults, a_file_is_old_or_new)
{
    static const int errors[] = {ENOSPC, EIO, EINTR};
    char *path = files_path(folder, "file");
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
        for (fault.at = 0, fault.hit = true; fault.hit; fault.at++) {
            size_t length;
            files_write(path, "old", 3);
            fault.kind = FAULT_ONCE;
            fault.error = errors[e];
            fault.count = 0;
            fault.hit = false;
            fault.armed = true;
            bool done = file_replace(path, "new one", 7);
            fault.armed = false;
            char *found = files_read(path, &length);
            cr_expect(strcmp(found, "new one") == 0 || (!done && strcmp(found, "old") == 0),
                      "call %ld: %s", fault.at, found);
            cr_expect(done || errors[e] != EINTR, "call %ld", fault.at);
            free(found);
        }
    free(path);
}
