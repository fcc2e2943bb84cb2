/* Temporary files for tests, and damage done to them. */
#ifndef NNC_TESTS_FILES_H
#define NNC_TESTS_FILES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A folder of its own for the running test; each call makes one. files_remove deletes it with what
 * is in it. */
char *files_folder(void);
void files_remove(char *folder);
char *files_path(const char *folder, const char *name); /* malloc'ed */
void files_write(const char *path, const void *data, size_t length);
char *files_read(const char *path, size_t *length); /* malloc'ed, NUL after the end */

/* Calls check(path, user) for the file cut off at every length, and then `edits` times with one to
 * three small changes: another byte or bit, a deletion, a doubling, a piece copied over another (a
 * function of NNC_FUZZ_SEED and the edit's number). 100,000 edits with NNC_FUZZ_ALL in the
 * environment. The file is whole again afterwards. */
void files_damage(const char *path, int edits, void (*check)(const char *path, void *user),
                  void *user);

#endif
