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

char **test_list_files(const char *folder, const char *suffix, size_t *count)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", NNC_SOURCE_DIR, folder);
    *count = 0;
    DIR *dir = opendir(path);
    char **list = NULL;
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir)) {
        size_t length = strlen(entry->d_name), tail = strlen(suffix);
        if (length < tail || strcmp(entry->d_name + length - tail, suffix) != 0) {
            continue;
        }
        list = realloc(list, (*count + 1) * sizeof *list);
        size_t room = strlen(path) + length + 2;
        list[*count] = malloc(room);
        snprintf(list[(*count)++], room, "%s/%s", path, entry->d_name);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (*count != 0) {
        qsort(list, *count, sizeof *list, by_name);
    }
    return list;
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
