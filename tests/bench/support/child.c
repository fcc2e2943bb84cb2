/* Pipes, affinity, and the resident size that Linux keeps per process. */
#include "tests/bench/support/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double child_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The last ones of those allowed: on many machines the first has the interrupts. */
static void keep_processors(int count)
{
    cpu_set_t allowed, some;
    CPU_ZERO(&some);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int i = CPU_SETSIZE - 1; i >= 0 && count > 0; i--) {
        if (CPU_ISSET(i, &allowed)) {
            CPU_SET(i, &some);
            count--;
        }
    }
    sched_setaffinity(0, sizeof some, &some);
}

static void set_number(const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    setenv(name, text, 1);
}

/* Every engine with OpenMP inside is tied to its processors; others keep to the affinity. */
static void set_environment(int processors)
{
    set_number("OMP_NUM_THREADS", processors);
    set_number("OPENBLAS_NUM_THREADS", processors);
    set_number("BLIS_NUM_THREADS", processors);
    setenv("OMP_PROC_BIND", "true", 1);
    setenv("OMP_PLACES", "cores", 1);
    setenv("TF_CPP_MIN_LOG_LEVEL", "3", 1);
}

bool child_start(Child *child, char *const *arguments, int processors, const char *log)
{
    int in[2], out[2];
    *child = (Child){.started = child_clock()};
    if (pipe2(in, O_CLOEXEC) != 0)
        return false;
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]), close(in[1]);
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        int errors = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        dup2(in[0], 0), dup2(out[1], 1), dup2(errors, 2);
        keep_processors(processors);
        set_environment(processors);
        execv(arguments[0], arguments);
        _exit(127);
    }
    close(in[0]), close(out[1]);
    child->to = in[1];
    child->from = out[0];
    child->pid = pid > 0 ? pid : 0;
    return pid > 0;
}

static bool take_line(Child *child, char *line, size_t size)
{
    char *end = memchr(child->buffer, '\n', child->filled);
    if (!end)
        return false;
    size_t length = (size_t)(end - child->buffer);
    snprintf(line, size, "%.*s", (int)length, child->buffer);
    child->filled -= length + 1;
    memmove(child->buffer, end + 1, child->filled);
    return true;
}

bool child_line(Child *child, double timeout, char *line, size_t size)
{
    double deadline = child_clock() + timeout;
    while (!take_line(child, line, size)) {
        struct pollfd wait = {.fd = child->from, .events = POLLIN};
        double left = deadline - child_clock();
        size_t room = sizeof child->buffer - child->filled;
        if (left <= 0 || room == 0 || poll(&wait, 1, (int)(1e3 * left) + 1) <= 0)
            return false;
        ssize_t got = read(child->from, child->buffer + child->filled, room);
        if (got <= 0)
            return false;
        child->filled += (size_t)got;
    }
    return true;
}

bool child_say(Child *child, const char *line)
{
    size_t length = strlen(line);
    return write(child->to, line, length) == (ssize_t)length;
}

double child_peak_bytes(const Child *child)
{
    char path[64], line[256];
    double kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)child->pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lf kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return 1024 * kilobytes;
}

void child_stop(Child *child)
{
    if (child->pid == 0)
        return;
    close(child->to), close(child->from);
    for (int i = 0; i < 100 && waitpid(child->pid, NULL, WNOHANG) == 0; i++) {
        struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL);
        if (i == 99)
            kill(child->pid, SIGKILL), waitpid(child->pid, NULL, 0);
    }
    *child = (Child){0};
}
