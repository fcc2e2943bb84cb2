#include "tests/support/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANY_EDITS = 100000, MOST_CHANGES = 3 };

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

/* The first state of the edits: always the same, or one for each NNC_FUZZ_SEED. */
static uint64_t first_state(void)
{
    const char *seed = getenv("NNC_FUZZ_SEED");
    return seed ? strtoull(seed, NULL, 10) : 1;
}

static size_t draw(uint64_t *state, size_t count)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(*state >> 33) % count;
}

/* One small change of a file in memory, which has room for one byte more; returns its length. */
static size_t edit_once(char *bytes, size_t length, uint64_t *state)
{
    static const char telling[] = "\0\x01\x7F\x80\xFF 09-.,:\"'{}[]()\n";
    size_t at = draw(state, length), from = draw(state, length);
    size_t reach = length - (at > from ? at : from);
    switch (draw(state, 8)) {
    case 0:
        memmove(bytes + at, bytes + at + 1, length - at - 1);
        return length > 1 ? length - 1 : length;
    case 1:
        memmove(bytes + at + 1, bytes + at, length - at);
        return length + 1;
    case 2:
        memmove(bytes + at, bytes + from, draw(state, reach < 16 ? reach : 16));
        return length;
    case 3:
        bytes[at] = (char)(bytes[at] ^ (1 << draw(state, 8)));
        return length;
    case 4:
        bytes[at] = telling[draw(state, sizeof telling - 1)];
        return length;
    default:
        bytes[at] = (char)draw(state, 256);
        return length;
    }
}

void files_damage(const char *path, int edits, void (*check)(const char *path, void *user),
                  void *user)
{
    size_t length;
    char *whole = files_read(path, &length), *copy = malloc(length + MOST_CHANGES);
    for (size_t cut = 0; cut < length; cut++) {
        files_write(path, whole, cut);
        check(path, user);
    }
    uint64_t state = first_state();
    if (getenv("NNC_FUZZ_ALL") != NULL) {
        edits = MANY_EDITS;
    }
    for (int edit = 0; edit < edits; edit++) {
        size_t now = length;
        memcpy(copy, whole, length);
        for (int i = 0; i <= edit % MOST_CHANGES; i++) {
            now = edit_once(copy, now, &state);
        }
        files_write(path, copy, now);
        check(path, user);
    }
    files_write(path, whole, length);
    free(whole);
    free(copy);
}
