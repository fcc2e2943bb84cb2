/* Runs Criterion's tests without Criterion's runner, whose workers need addresses that the thread
 * sanitizer keeps for itself, and which does not start in an emulator. Linked into the tests of
 * such builds only: each test is run in a forked child, setup and teardown of suites included; a
 * race ends the child with another exit code. The functions below take the place of the library's
 * of the same names.
 *
 *   test_pool [TEXT]     tests whose suite/name contains TEXT */
#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

static const struct criterion_test *current;
static int failures;

void criterion_send_assert(struct criterion_assert_stats *stats)
{
    if (!stats->passed) {
        fprintf(stderr, "%s:%u: %s\n", stats->file, stats->line, stats->message);
    }
}

void cr_log(enum criterion_severity severity, const char *message, ...)
{
    va_list args;
    va_start(args, message);
    if (severity != CR_LOG_INFO) {
        vfprintf(stderr, message, args);
        fputc('\n', stderr);
    }
    va_end(args);
}

void criterion_abort_test(void)
{
    exit(1);
}

void criterion_continue_test(void)
{
    failures++;
}

void cri_asserts_passed_incr(void)
{
}

static const struct criterion_test_extra_data *suite_of(const struct criterion_test *test)
{
    for (struct criterion_suite **s = __start_cr_sts; s < __stop_cr_sts; s++) {
        if (*s != NULL && strcmp((*s)->name, test->category) == 0) {
            return (*s)->data;
        }
    }
    return NULL;
}

void criterion_internal_test_setup(void)
{
    const struct criterion_test_extra_data *suite = suite_of(current);
    if (suite != NULL && suite->init != NULL) {
        suite->init();
    }
    if (current->data->init != NULL) {
        current->data->init();
    }
}

void criterion_internal_test_main(void (*test)(void))
{
    test();
}

void criterion_internal_test_teardown(void)
{
    const struct criterion_test_extra_data *suite = suite_of(current);
    if (current->data->fini != NULL) {
        current->data->fini();
    }
    if (suite != NULL && suite->fini != NULL) {
        suite->fini();
    }
}

/* A skipped test has passed: only its child ends here. */
void criterion_skip_test(const char *format, ...)
{
    (void)format;
    exit(failures != 0);
}

static bool passes(const struct criterion_test *test)
{
    int status = 0;
    current = test;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        test->test();
        exit(failures != 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return false;
    }
    if (test->data->signal != 0) {
        return WIFSIGNALED(status) && WTERMSIG(status) == test->data->signal;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == test->data->exit_code;
}

int main(int argc, char **argv)
{
    const char *wanted = argc == 2 ? argv[1] : "";
    int tested = 0, passed = 0;
    for (struct criterion_test **t = __start_cr_tst; t < __stop_cr_tst; t++) {
        if (*t == NULL || (*t)->data->kind_ != CR_TEST_NORMAL ||
            !strstr((*t)->data->identifier_, wanted)) {
            continue;
        }
        bool good = passes(*t);
        tested++;
        passed += good;
        if (!good) {
            fprintf(stderr, "[FAIL] %s\n", (*t)->data->identifier_);
        }
    }
    fprintf(stderr, "Synthesis: Tested: %d | Passing: %d\n", tested, passed);
    return passed != tested;
}
