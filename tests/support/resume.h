/* For tests of runs that are interrupted: a run in a folder through the public API, and whether
 * two folders hold the same run. */
#ifndef NNC_TESTS_RESUME_H
#define NNC_TESTS_RESUME_H
#include "nnc/nnc.h"
#include "runtime/base/strbuf.h"

typedef struct {
    const char *text, *folder;
    bool resume;
    int64_t stop_at; /* ask for a stop after this step, 0: never */
    uint64_t seed;
    void (*on_event)(void *user, const nnc_event *event); /* may be NULL */
    void *user;
    StrBuf *said; /* notices and diagnostics are added, NULL: nowhere */
} ResumeRun;

/* Opens and trains in the interpreter, on one thread. */
nnc_status resume_train(const ResumeRun *run);
/* The program with `lines` in its train block. malloc'ed. */
char *resume_text(const char *program, const char *lines);
/* The weights, every checkpoint that both have, and the log but for times and "start" lines.
 * False: *why says what differs. */
bool resume_same(const char *a, const char *b, StrBuf *why);
char *resume_folder(void); /* a new one, in memory where that is possible: syncing costs nothing there */
void resume_remove(const char *folder); /* with everything in it */
bool resume_exists(const char *folder, const char *name);

#endif
