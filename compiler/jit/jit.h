/* Objects in memory: links an object produced by codegen and gives addresses of its symbols. */
#ifndef NNC_JIT_JIT_H
#define NNC_JIT_JIT_H
#include "compiler/codegen/codegen.h"

typedef struct Jit Jit;

Jit *jit_new(char **error);                  /* NULL: *error (malloc'd) */
void jit_free(Jit *jit);                     /* code of all units goes with it */
typedef struct JitUnit JitUnit;
JitUnit *jit_add(Jit *jit, ObjectCode *object, char **error); /* takes the object's memory, also on failure */
JitUnit *jit_add_all(Jit *jit, ObjectCode *objects, int count, char **error); /* several objects as one unit */
void *jit_symbol(JitUnit *unit, const char *name);            /* NULL: no such symbol, or the object does not link */
const char *jit_error(const JitUnit *unit);                   /* why the last jit_symbol gave NULL; owned by the unit */
void jit_remove(JitUnit *unit);                               /* its code goes at once: nothing of it may be running */
/* A Jit may be used from several threads; a unit from one at a time. */

#endif
