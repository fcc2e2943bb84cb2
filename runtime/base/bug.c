/* The end of the line for our own mistakes: say where and why on stderr, then stop so that a
 * debugger or a core file shows the state. The only place in the libraries that prints or stops
 * the process. */
#include "runtime/base/bug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void nnc_bug(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "nnc: internal error at %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nThis is a bug of nnc, not of your program. Please report it with the file "
                    "that shows it.\n");
    va_end(args);
    abort();
}
