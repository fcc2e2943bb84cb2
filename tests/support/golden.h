/* Files of the tests: reading, listing, and golden texts. */
#ifndef NNC_TESTS_GOLDEN_H
#define NNC_TESTS_GOLDEN_H
#include <stdbool.h>
#include <stddef.h>

/* The whole file, NUL-terminated, to be freed; NULL if it cannot be read. */
char *test_read_file(const char *path, size_t *length);
/* Paths under the source folder's `folder` whose name ends in `suffix`, sorted, not descending;
 * *count of them. Free each and the array. */
char **test_list_files(const char *folder, const char *suffix, size_t *count);
/* The same, with what is in the folders below it. */
char **test_list_tree(const char *folder, const char *suffix, size_t *count);
void test_free_list(char **paths, size_t count);
/* Is `text` the contents of the golden file? With NNC_UPDATE_GOLDEN in the environment it is
 * written instead. A difference is printed to stderr. */
bool test_golden(const char *path, const char *text);

#endif
