/* steps.h: which checkpoints a folder has. */
#include "compiler/driver/steps.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

bool step_of_name(const char *name, int64_t *step)
{
    if (strncmp(name, "step-", 5) != 0)
        return false;
    const char *digits = name + 5;
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || length > 18 || digits[length] || (digits[0] == '0' && length > 1))
        return false;
    *step = strtoll(digits, NULL, 10);
    return true;
}

static int descending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

StepList steps_list(const char *folder)
{
    StepList list = {0};
    int64_t capacity = 0, step;
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        if (!step_of_name(entry->d_name, &step))
            continue;
        if (list.count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            int64_t *grown = realloc(list.steps, sizeof *grown * (size_t)capacity);
            if (!grown)
                break;
            list.steps = grown;
        }
        list.steps[list.count++] = step;
    }
    if (entries)
        closedir(entries);
    if (list.count > 1)
        qsort(list.steps, (size_t)list.count, sizeof *list.steps, descending);
    return list;
}

void steps_free(StepList *list)
{
    free(list->steps);
    *list = (StepList){0};
}
