/* Where compiled kernels are kept, and nnc cache.
 *
 *   NNC_CACHE=off or --no-cache     nowhere
 *   NNC_CACHE_DIR                   there
 *   XDG_CACHE_HOME                  in its folder nnc
 *   HOME                            in .cache/nnc */
#include "compiler/cli/cli.h"

#include <stdlib.h>
#include <string.h>

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static char *chosen_directory(void)
{
    const char *folder = environment("NNC_CACHE_DIR"), *cache = environment("XDG_CACHE_HOME"),
               *home = environment("HOME");
    char *path = NULL;
    if (folder)
        return strdup(folder);
    if (cache ? asprintf(&path, "%s/nnc", cache) < 0
              : !home || asprintf(&path, "%s/.cache/nnc", home) < 0)
        return NULL;
    return path;
}

char *cache_directory(const Arguments *arguments)
{
    const char *wanted = environment("NNC_CACHE");
    bool off = wanted && (strcmp(wanted, "off") == 0 || strcmp(wanted, "0") == 0);
    return off || arguments->counts[OPTION_NO_CACHE] ? NULL : chosen_directory();
}

int command_cache(const Arguments *arguments)
{
    const char *what = arguments->operands[0];
    int64_t files = 0, bytes = 0;
    if (what && strcmp(what, "clear") != 0) {
        fprintf(stderr, "nnc: cache shows what is kept, cache clear removes it; %s is neither\n",
                what);
        return 1;
    }
    char *folder = chosen_directory();
    if (!folder) {
        fprintf(stderr, "nnc: there is no place for a cache: neither NNC_CACHE_DIR, "
                        "XDG_CACHE_HOME nor HOME is set\n");
        return NNC_DATA;
    }
    bool cleared = !what || nnc_cache_clear(folder) == NNC_OK;
    nnc_cache_size(folder, &files, &bytes);
    char *used = cache_directory(arguments);
    printf("%s: %lld files, %lld bytes%s\n", folder, (long long)files, (long long)bytes,
           used ? "" : " (switched off)");
    free(used);
    if (!cleared)
        fprintf(stderr, "nnc: not everything in %s could be removed\n", folder);
    free(folder);
    return cleared ? 0 : NNC_DATA;
}
