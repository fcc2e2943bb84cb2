#include "tests/support/resume.h"

#include "compiler/driver/steps.h"
#include "tests/support/api.h"
#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    const ResumeRun *run;
    nnc_trainer *trainer;
} Training;

static void on_event(void *user, const nnc_event *event)
{
    Training *training = user;
    const ResumeRun *run = training->run;
    if (event->notice && run->said)
        strbuf_printf(run->said, "%s\n", event->notice);
    if (run->on_event)
        run->on_event(run->user, event);
    if (event->kind == NNC_EVENT_STEP && event->step == run->stop_at)
        nnc_trainer_stop(training->trainer);
}

nnc_status resume_train(const ResumeRun *run)
{
    Training training = {.run = run};
    nnc_context *context = api_context(1);
    nnc_program_options how = {.size = sizeof how, .interpret = true};
    nnc_program *program = api_parse(context, run->text, &how);
    nnc_trainer_options options = {.size = sizeof options,
                                   .seed = run->seed,
                                   .run_dir = run->folder,
                                   .resume = run->resume,
                                   .on_event = on_event,
                                   .user = &training};
    nnc_status status = nnc_trainer_new(program, NULL, &options, &training.trainer);
    if (status == NNC_OK)
        status = nnc_trainer_run(training.trainer);
    if (run->said)
        strbuf_add(run->said, nnc_diagnostics(context, NNC_TEXT));
    nnc_trainer_release(training.trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    return status;
}

char *resume_text(const char *program, const char *lines)
{
    const char *end = strrchr(program, '}');
    char *text = NULL;
    cr_assert_geq(asprintf(&text, "%.*s%s\n}\n", (int)(end - program), program, lines), 0);
    return text;
}

char *resume_folder(void)
{
    char *memory = strdup("/dev/shm/nnc-test-XXXXXX");
    if (mkdtemp(memory))
        return memory;
    free(memory);
    return files_folder();
}

bool resume_exists(const char *folder, const char *name)
{
    struct stat status;
    char *path = files_path(folder, name);
    bool there = stat(path, &status) == 0;
    free(path);
    return there;
}

static bool same_file(const char *a, const char *b, const char *name, StrBuf *why)
{
    size_t length_a = 0, length_b = 0;
    char *path_a = files_path(a, name), *path_b = files_path(b, name);
    bool both = resume_exists(a, name) && resume_exists(b, name);
    char *data_a = both ? files_read(path_a, &length_a) : NULL;
    char *data_b = both ? files_read(path_b, &length_b) : NULL;
    bool same = both && length_a == length_b && memcmp(data_a, data_b, length_a) == 0;
    if (!same)
        strbuf_printf(why, "%s differs%s; ", name, both ? "" : " (is missing)");
    free(path_a);
    free(path_b);
    free(data_a);
    free(data_b);
    return same;
}

/* Takes ,"key":value out of a line, value a number or an object. */
static void take_out(char *line, const char *key)
{
    char *at = strstr(line, key);
    if (!at)
        return;
    char *end = at + strlen(key);
    if (*end == '{')
        end = strchr(end, '}') + 1;
    else
        end += strcspn(end, ",}");
    memmove(at, end, strlen(end) + 1);
}

/* The lines of a log that do not depend on who ran it and how fast. */
static void steady_log(const char *folder, StrBuf *out)
{
    static const char *const keys[] = {
        ",\"seconds\":",        ",\"waiting_seconds\":",
        ",\"step_ms\":",        ",\"valid_seconds\":",
        ",\"peak_rss_bytes\":", ",\"arena_bytes_used\":",
        ",\"saved\":"};
    size_t length;
    char *path = files_path(folder, "log.jsonl"), *text = files_read(path, &length), *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "{\"event\":\"start\"", 16) == 0)
            continue;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            take_out(line, keys[i]);
        strbuf_printf(out, "%s\n", line);
    }
    free(text);
    free(path);
}

bool resume_same(const char *a, const char *b, StrBuf *why)
{
    bool same = same_file(a, b, "weights.safetensors", why);
    StrBuf log_a = {0}, log_b = {0};
    char *folder = files_path(a, "checkpoints"), name[96];
    StepList steps = steps_list(folder);
    for (int64_t i = 0; i < steps.count; i++) {
        snprintf(name, sizeof name, "checkpoints/step-%lld", (long long)steps.steps[i]);
        if (!resume_exists(b, name))
            continue;
        snprintf(name, sizeof name, "checkpoints/step-%lld/weights.safetensors",
                 (long long)steps.steps[i]);
        same &= same_file(a, b, name, why);
        snprintf(name, sizeof name, "checkpoints/step-%lld/state.safetensors",
                 (long long)steps.steps[i]);
        same &= same_file(a, b, name, why);
    }
    steady_log(a, &log_a);
    steady_log(b, &log_b);
    if (!log_a.text || !log_b.text || strcmp(log_a.text, log_b.text) != 0) {
        strbuf_printf(why, "the logs differ:\n%s---\n%s", log_a.text ? log_a.text : "",
                      log_b.text ? log_b.text : "");
        same = false;
    }
    strbuf_free(&log_a);
    strbuf_free(&log_b);
    steps_free(&steps);
    free(folder);
    return same;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status, (void)kind, (void)at;
    return remove(path);
}

void resume_remove(const char *folder)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
