#include "tests/support/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MORE_EDITS = 20 };

char *files_folder(void)
{
    char *folder = strdup("/tmp/nnc-test-XXXXXX");
    if (!mkdtemp(folder)) {
        abort();
    }
    return folder;
}

char *files_path(const char *folder, const char *name)
{
    size_t length = strlen(folder) + strlen(name) + 2;
    char *path = malloc(length);
    snprintf(path, length, "%s/%s", folder, name);
    return path;
}

void files_remove(char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char *path = files_path(folder, entry->d_name);
        if (entry->d_name[0] != '.') {
            unlink(path);
        }
        free(path);
    }
    if (dir) {
        closedir(dir);
    }
    rmdir(folder);
    free(folder);
}

/* Over the old contents and then cut: some file systems flush a file that was emptied first. */
void files_write(const char *path, const void *data, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, data, length) != (ssize_t)length || ftruncate(fd, (off_t)length) != 0 ||
        close(fd) != 0) {
        abort();
    }
}

char *files_read(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        abort();
    }
    *length = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*length + 1);
    if (fread(data, 1, *length, file) != *length) {
        abort();
    }
    data[*length] = '\0';
    fclose(file);
    return data;
}

void files_damage(const char *path, int edits, void (*check)(const char *path, void *user),
                  void *user)
{
    size_t length;
    char *whole = files_read(path, &length), *copy = malloc(length + 1);
    for (size_t cut = 0; cut < length; cut++) {
        files_write(path, whole, cut);
        check(path, user);
    }
    uint64_t state = 1;
    if (getenv("NNC_FUZZ_ALL") != NULL) {
        edits *= MORE_EDITS;
    }
    for (int edit = 0; edit < edits; edit++) {
        memcpy(copy, whole, length);
        for (int i = 0; i <= edit % 3; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            copy[(state >> 33) % length] = (char)(state >> 24);
        }
        files_write(path, copy, length);
        check(path, user);
    }
    files_write(path, whole, length);
    free(whole);
    free(copy);
}
