/* The cache of machine code: what is found again, and that nothing that happens to its folder is
 * ever worse than compiling: damage at every byte, truncation, folders that cannot be read or
 * written, many processes at once, a bound on the size. */
#include "compiler/driver/compile.h"
#include "compiler/jit/cache.h"
#include "tests/support/api.h"
#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *folder;

static void make_folder(void)
{
    folder = files_folder();
    chmod(folder, 0700);
}

static void remove_folder(void)
{
    char command[256];
    chmod(folder, 0700);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_expect_eq(system(command), 0);
    free(folder);
}

TestSuite(cache, .init = make_folder, .fini = remove_folder);

static void keep(CodeCache *cache, uint64_t number, const char *text, size_t bytes)
{
    ObjectStore store = code_cache_store(cache);
    store.keep(store.user, (CodeKey){number, ~number}, &(ObjectCode){(char *)text, bytes});
}

/* Is it there, with these contents? Anything else than "yes" and "no" fails the test. */
static bool finds(CodeCache *cache, uint64_t number, const char *text, size_t bytes)
{
    ObjectStore store = code_cache_store(cache);
    ObjectCode object = {0};
    if (!store.find(store.user, (CodeKey){number, ~number}, &object))
        return false;
    cr_assert_eq(object.size, bytes);
    cr_assert_eq(memcmp(object.data, text, bytes), 0, "other bytes than were kept");
    codegen_object_free(&object);
    return true;
}

/* The path of the one object in the folder. */
static char *only_file(void)
{
    DIR *open = opendir(folder);
    char *path = NULL;
    for (struct dirent *entry; (entry = readdir(open)) != NULL;)
        if (entry->d_name[0] != '.') {
            cr_assert_null(path, "more than one file");
            path = files_path(folder, entry->d_name);
        }
    closedir(open);
    cr_assert_not_null(path);
    return path;
}

Test(cache, keeps_for_the_next_process)
{
    CodeCache *cache = code_cache_open(folder, 0);
    cr_expect_not(finds(cache, 1, "one", 3));
    keep(cache, 1, "one", 3);
    keep(cache, 2, "two", 3);
    cr_expect(finds(cache, 1, "one", 3));
    code_cache_close(cache);
    cache = code_cache_open(folder, 0);
    cr_expect(finds(cache, 2, "two", 3));
    cr_expect_not(finds(cache, 3, "three", 5));
    code_cache_close(cache);
    cr_expect_eq(code_cache_size(folder).files, 2);
    cr_expect(code_cache_clear(folder));
    cr_expect_eq(code_cache_size(folder).files, 0);
}

Test(cache, damage_is_not_found)
{
    static const char text[] = "some object code";
    size_t length;
    CodeCache *cache = code_cache_open(folder, 0);
    keep(cache, 7, text, sizeof text);
    char *path = only_file(), *whole = files_read(path, &length);
    for (size_t at = 0; at < length; at++) {
        whole[at] ^= 0x10;
        files_write(path, whole, length);
        whole[at] ^= 0x10;
        cr_expect_not(finds(cache, 7, text, sizeof text), "byte %zu is another", at);
        files_write(path, whole, at);
        cr_expect_not(finds(cache, 7, text, sizeof text), "cut off at %zu", at);
    }
    keep(cache, 7, text, sizeof text); /* compiled again */
    cr_expect(finds(cache, 7, text, sizeof text));
    free(whole);
    free(path);
    code_cache_close(cache);
}

/* Root may write everywhere, so a folder that cannot be is made of a file. */
Test(cache, does_without_a_folder)
{
    char *file = files_path(folder, "file"), *below = files_path(file, "cache");
    files_write(file, "x", 1);
    const char *const places[] = {file, below, "/proc/nnc-cache", "/dev/null/nnc"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        CodeCache *cache = code_cache_open(places[i], 0);
        keep(cache, 1, "one", 3);
        cr_expect_not(finds(cache, 1, "one", 3), "%s", places[i]);
        cr_expect_eq(code_cache_size(places[i]).files, 0);
        cr_expect(code_cache_clear(places[i]));
        code_cache_close(cache);
    }
    free(below);
    free(file);
}

Test(cache, reads_where_it_cannot_write)
{
    CodeCache *cache = code_cache_open(folder, 0);
    keep(cache, 1, "one", 3);
    code_cache_close(cache);
    if (geteuid() == 0)
        cr_skip_test("root may write everywhere");
    chmod(folder, 0500);
    cache = code_cache_open(folder, 0);
    cr_expect(finds(cache, 1, "one", 3));
    keep(cache, 2, "two", 3);
    cr_expect_not(finds(cache, 2, "two", 3));
    code_cache_close(cache);
}

Test(cache, trusts_no_folder_that_others_write)
{
    CodeCache *cache = code_cache_open(folder, 0);
    keep(cache, 1, "one", 3);
    code_cache_close(cache);
    chmod(folder, 0777);
    cache = code_cache_open(folder, 0);
    cr_expect_not(finds(cache, 1, "one", 3));
    keep(cache, 2, "two", 3);
    cr_expect_eq(code_cache_size(folder).files, 1);
    code_cache_close(cache);
}

static void make_older(uint64_t number, int seconds)
{
    char name[64];
    snprintf(name, sizeof name, "%016llx%016llx.nnc", (unsigned long long)number,
             (unsigned long long)~number);
    char *path = files_path(folder, name);
    time_t then = time(NULL) - seconds;
    struct timespec times[2] = {{then, 0}, {then, 0}};
    cr_assert_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

/* Fourteen objects of 1000 bytes in 10,000: those used last stay, other files are left alone. */
Test(cache, is_bounded)
{
    char text[1000] = {1}, *stranger = files_path(folder, "notes.nnc");
    files_write(stranger, text, sizeof text);
    CodeCache *cache = code_cache_open(folder, 10000);
    for (uint64_t i = 1; i <= 9; i++) {
        keep(cache, i, text, sizeof text);
        make_older(i, 10000 - 100 * (int)i);
    }
    cr_expect(finds(cache, 1, text, sizeof text)); /* used now */
    for (uint64_t i = 10; i <= 14; i++) {
        keep(cache, i, text, sizeof text);
        cr_expect_leq(code_cache_size(folder).bytes, 10000);
    }
    cr_expect(finds(cache, 1, text, sizeof text));
    cr_expect_not(finds(cache, 2, text, sizeof text));
    cr_expect(finds(cache, 14, text, sizeof text));
    code_cache_close(cache);
    cr_expect(code_cache_clear(folder));
    cr_expect_eq(access(stranger, F_OK), 0);
    free(stranger);
}

/* Several processes write and read the same keys; every answer is whole. */
Test(cache, many_processes)
{
    enum { PROCESSES = 6, ROUNDS = 300, KEYS = 20 };
    pid_t children[PROCESSES];
    for (int p = 0; p < PROCESSES; p++) {
        children[p] = fork();
        if (children[p] != 0)
            continue;
        CodeCache *cache = code_cache_open(folder, 15000);
        ObjectStore store = code_cache_store(cache);
        for (int round = 0; round < ROUNDS; round++) {
            char text[1000];
            uint64_t number = (uint64_t)(round * 7 + p * 3) % KEYS + 1;
            ObjectCode object;
            memset(text, (int)number, sizeof text);
            if (store.find(store.user, (CodeKey){number, ~number}, &object)) {
                if (object.size != sizeof text || memcmp(object.data, text, sizeof text) != 0)
                    _exit(1);
                codegen_object_free(&object);
            } else {
                store.keep(store.user, (CodeKey){number, ~number}, &(ObjectCode){text, sizeof text});
            }
        }
        code_cache_close(cache);
        _exit(0);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        cr_assert_eq(waitpid(children[p], &status, 0), children[p]);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    cr_expect_leq(code_cache_size(folder).bytes, 15000 + PROCESSES * 1100);
}

/* ---- whole programs ---- */

static nnc_context *cached_context(const char *cache)
{
    nnc_context_options options = {.size = sizeof options, .threads = 2, .cache_dir = cache};
    nnc_context *context = NULL;
    cr_assert_eq(nnc_context_new(&options, &context), NNC_OK);
    return context;
}

static ApiRun train_with(const char *cache, const char *text)
{
    nnc_context *context = cached_context(cache);
    ApiRun run = api_try(context, text, NULL, 1);
    cr_assert_eq(run.status, NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    nnc_context_release(context);
    return run;
}

/* Cold, warm, with every file damaged, and without a cache: the same bits. */
Test(cache, programs_have_the_same_bits)
{
    for (const ApiProgram *p = api_programs; p->name; p++) {
        cr_expect(code_cache_clear(folder));
        ApiRun without = train_with(NULL, p->text), cold = train_with(folder, p->text);
        CodeCacheSize size = code_cache_size(folder);
        ApiRun warm = train_with(folder, p->text);
        cr_expect_gt(size.files, 1, "%s", p->name);
        cr_expect_eq(code_cache_size(folder).files, size.files, "%s: a key changes", p->name);
        cr_expect(api_same(&without, &cold) && api_same(&cold, &warm), "%s", p->name);
        api_free(&without);
        api_free(&cold);
        api_free(&warm);
    }
}

static void damage_all(void)
{
    DIR *open = opendir(folder);
    for (struct dirent *entry; (entry = readdir(open)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = files_path(folder, entry->d_name);
        size_t length;
        char *data = files_read(path, &length);
        data[length / 2] ^= 1;
        files_write(path, data, length);
        free(data);
        free(path);
    }
    closedir(open);
}

Test(cache, damaged_files_are_compiled_again)
{
    ApiRun cold = train_with(folder, api_programs[0].text);
    damage_all();
    ApiRun again = train_with(folder, api_programs[0].text);
    cr_expect(api_same(&cold, &again));
    api_free(&cold);
    api_free(&again);
}

/* The cache is off unless the context says otherwise. */
Test(cache, is_off_by_default)
{
    setenv("HOME", folder, 1);
    setenv("XDG_CACHE_HOME", folder, 1);
    setenv("NNC_CACHE_DIR", folder, 1);
    ApiRun run = api_train(api_programs[0].text, NULL, 1, 1);
    cr_expect_eq(run.status, NNC_OK);
    cr_expect_eq(code_cache_size(folder).files, 0);
    api_free(&run);
}

/* ---- the command ---- */

static int command(const char *environment, const char *arguments)
{
    char text[2048];
    snprintf(text, sizeof text,
             "cd %s && env -u NNC_CACHE HOME=%s/home XDG_CACHE_HOME= NNC_CACHE_DIR= %s " NNC_BINARY_DIR
             "/nnc %s >out 2>&1",
             folder, folder, environment, arguments);
    int status = system(text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int64_t files_in(const char *below)
{
    char *path = files_path(folder, below);
    int64_t files = code_cache_size(path).files;
    free(path);
    return files;
}

Test(cache, of_the_command)
{
    static const char run[] =
        "time " NNC_SOURCE_DIR "/examples/simple.nn --steps=1 --function=predict";
    char off[256];
    snprintf(off, sizeof off, "%s --no-cache", run);
    cr_assert_eq(command("", off), 0);
    cr_expect_eq(files_in("home/.cache/nnc"), 0);
    cr_assert_eq(command("NNC_CACHE=off", run), 0);
    cr_expect_eq(files_in("home/.cache/nnc"), 0);
    cr_assert_eq(command("", run), 0);
    cr_expect_gt(files_in("home/.cache/nnc"), 0);
    char place[256];
    snprintf(place, sizeof place, "XDG_CACHE_HOME=%s/xdg", folder);
    cr_assert_eq(command(place, run), 0);
    cr_expect_gt(files_in("xdg/nnc"), 0);
    snprintf(place, sizeof place, "NNC_CACHE_DIR=%s/own", folder);
    cr_assert_eq(command(place, run), 0);
    cr_expect_gt(files_in("own"), 0);
    cr_assert_eq(command(place, "cache"), 0);
    cr_assert_eq(command(place, "cache clear"), 0);
    cr_expect_eq(files_in("own"), 0);
    cr_expect_eq(command(place, "cache full"), 1);
}
