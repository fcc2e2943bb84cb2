/* Reading test files and comparing golden ones. A wrong golden text is shown by its first differing
 * line. */
#include "tests/support/golden.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *test_read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    size_t got = fread(text, 1, (size_t)size, file);
    fclose(file);
    text[got] = '\0';
    if (length != NULL) {
        *length = got;
    }
    return text;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct {
    char **paths;
    size_t count;
} List;

static bool ends_in(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);
    return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

static void list_folder(List *list, const char *folder, const char *suffix, bool deep)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir)) {
        size_t room = strlen(folder) + strlen(entry->d_name) + 2;
        char *path = malloc(room);
        snprintf(path, room, "%s/%s", folder, entry->d_name);
        if (deep && entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            list_folder(list, path, suffix, true);
        }
        if (entry->d_type == DT_DIR || !ends_in(path, suffix)) {
            free(path);
            continue;
        }
        list->paths = realloc(list->paths, (list->count + 1) * sizeof *list->paths);
        list->paths[list->count++] = path;
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static char **list_sorted(const char *folder, const char *suffix, bool deep, size_t *count)
{
    char path[4096];
    List list = {0};
    snprintf(path, sizeof path, "%s/%s", NNC_SOURCE_DIR, folder);
    list_folder(&list, path, suffix, deep);
    if (list.count != 0) {
        qsort(list.paths, list.count, sizeof *list.paths, by_name);
    }
    *count = list.count;
    return list.paths;
}

char **test_list_files(const char *folder, const char *suffix, size_t *count)
{
    return list_sorted(folder, suffix, false, count);
}

char **test_list_tree(const char *folder, const char *suffix, size_t *count)
{
    return list_sorted(folder, suffix, true, count);
}

void test_free_list(char **paths, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(paths[i]);
    }
    free(paths);
}

static void show_difference(const char *path, const char *want, const char *got)
{
    int line = 1;
    size_t begin = 0;
    for (size_t i = 0; want[i] != '\0' && want[i] == got[i]; i++) {
        if (want[i] == '\n') {
            line++;
            begin = i + 1;
        }
    }
    fprintf(stderr, "%s:%d: wanted `%.*s`\n", path, line, (int)strcspn(want + begin, "\n"),
            want + begin);
    fprintf(stderr, "%s:%d:    got `%.*s`\n", path, line, (int)strcspn(got + begin, "\n"),
            got + begin);
}

bool test_golden(const char *path, const char *text)
{
    if (getenv("NNC_UPDATE_GOLDEN") != NULL) {
        FILE *file = fopen(path, "wb");
        bool written = file != NULL && fputs(text, file) >= 0;
        return file != NULL && fclose(file) == 0 && written;
    }
    char *want = test_read_file(path, NULL);
    bool same = want != NULL && strcmp(want, text) == 0;
    if (!same) {
        show_difference(path, want ? want : "", text);
    }
    free(want);
    return same;
}
