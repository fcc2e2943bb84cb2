/* Which machine: names of processors and features, checked, to LLVM's target machine and to the few
 * facts that lowering wants (how wide a vector is, how many registers there are, how large the
 * caches).
 *
 *   cpu NULL                  this machine as detected
 *   cpu "znver4"              a row of processors.def
 *   features "-avx512f"       taken off or put on top, one by one */
#include "compiler/codegen/cg.h"

#include <llvm-c/Target.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* LLVM's table of targets is LLVM's own, and filling it is not safe from two threads at once;
 * before main there is one. */
__attribute__((constructor)) static void fill_target_table(void)
{
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
}

/* ---- names ---- */

typedef enum { FAMILY_OTHER, FAMILY_X86, FAMILY_AARCH64 } Family;
typedef enum { LEVEL_SSE2, LEVEL_SSE4, LEVEL_AVX, LEVEL_AVX2_FMA, LEVEL_AVX512, LEVEL_NEON } Level;

typedef struct {
    Family family;
    const char *name;
    Level level;
} Processor;
typedef struct {
    Family family;
    const char *name;
} Feature;

static const Processor processors[] = {
#define PROCESSOR(family, name, level) {FAMILY_##family, name, LEVEL_##level},
#include "compiler/codegen/processors.def"
};
static const Feature known_features[] = {
#define FEATURE(family, name) {FAMILY_##family, name},
#include "compiler/codegen/processors.def"
};

/* What decides over vectors; a level says which of them a processor has. */
typedef struct {
    bool avx, avx2, fma, avx512, short_evex, neon, half;
} Vectors;

static const Vectors of_level[] = {
    [LEVEL_SSE2] = {0},
    [LEVEL_SSE4] = {0},
    [LEVEL_AVX] = {.avx = true},
    [LEVEL_AVX2_FMA] = {.avx = true, .avx2 = true, .fma = true, .half = true},
    [LEVEL_AVX512] = {.avx = true, .avx2 = true, .fma = true, .avx512 = true, .half = true},
    [LEVEL_NEON] = {.neon = true, .fma = true, .half = true},
};

static Family family_of(const char *triple)
{
    if (strncmp(triple, "x86_64", 6) == 0 || strncmp(triple, "amd64", 5) == 0) {
        return FAMILY_X86;
    }
    return strncmp(triple, "aarch64", 7) == 0 || strncmp(triple, "arm64", 5) == 0 ? FAMILY_AARCH64
                                                                                  : FAMILY_OTHER;
}

static const Processor *find_processor(Family family, const char *name)
{
    for (size_t i = 0; i < sizeof processors / sizeof *processors; i++) {
        if (processors[i].family == family && strcmp(processors[i].name, name) == 0) {
            return &processors[i];
        }
    }
    return NULL;
}

static bool find_feature(Family family, const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof known_features / sizeof *known_features; i++) {
        const Feature *feature = &known_features[i];
        if (feature->family == family && strlen(feature->name) == length &&
            memcmp(feature->name, name, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool refuse(char **error, const char *format, int length, const char *name)
{
    size_t size = strlen(format) + (size_t)length + 1;
    *error = malloc(size);
    if (*error) {
        snprintf(*error, size, format, length, name);
    }
    return false;
}

/* ---- features ---- */

static bool same(const char *name, size_t length, const char *text)
{
    return strlen(text) == length && memcmp(name, text, length) == 0;
}

/* Taking a feature off takes off what is built on it, as LLVM does. */
static void switch_feature(Vectors *v, const char *name, size_t length, bool on)
{
    if (same(name, length, "avx512f")) {
        v->avx512 = on;
    } else if (same(name, length, "evex512")) {
        v->short_evex = !on;
    } else if (same(name, length, "avx2")) {
        v->avx2 = on;
        v->avx512 = v->avx512 && on;
    } else if (same(name, length, "avx")) {
        v->avx = on;
        v->avx2 = v->avx2 && on;
        v->avx512 = v->avx512 && on;
        v->fma = v->fma && on;
        v->half = v->half && on;
    } else if (same(name, length, "f16c")) {
        v->half = on;
    } else if (same(name, length, "fma")) {
        v->fma = on;
        v->avx512 = v->avx512 && on;
    }
}

/* Walks "+a,-b,..."; `strict` refuses unknown names (a text from a user, not from detection). */
static bool apply_features(Vectors *v, Family family, const char *features, bool strict,
                           char **error)
{
    for (const char *at = features; *at;) {
        size_t length = strcspn(at, ",");
        bool signed_name = length > 1 && (*at == '+' || *at == '-');
        if (length && strict && (!signed_name || !find_feature(family, at + 1, length - 1))) {
            return refuse(error, "unknown processor feature '%.*s' (write +name or -name)",
                          (int)length, at);
        }
        if (signed_name) {
            switch_feature(v, at + 1, length - 1, *at == '+');
        }
        at += length + (at[length] == ',');
    }
    return true;
}

/* ---- a machine, by the names of LLVM ---- */

typedef struct {
    char *triple, *cpu, *features; /* LLVM's strings, to be disposed of */
    bool is_host;                  /* detected, not named */
    Vectors vectors;
} Machine;

static void free_machine(Machine *machine)
{
    LLVMDisposeMessage(machine->triple);
    LLVMDisposeMessage(machine->cpu);
    LLVMDisposeMessage(machine->features);
}

static bool vectors_of_named(Machine *machine, Family family, char **error)
{
    if (family == FAMILY_OTHER) {
        return true;
    }
    const Processor *processor = find_processor(family, machine->cpu);
    if (!processor) {
        return refuse(error, "unknown processor '%.*s'", (int)strlen(machine->cpu), machine->cpu);
    }
    machine->vectors = of_level[processor->level];
    return apply_features(&machine->vectors, family, machine->features, true, error);
}

static bool find_machine(Machine *machine, const char *triple, const char *cpu,
                         const char *features, char **error)
{
    machine->triple = triple ? LLVMCreateMessage(triple) : LLVMGetDefaultTargetTriple();
    machine->is_host = !triple && !cpu;
    if (machine->is_host) {
        machine->cpu = LLVMGetHostCPUName();
        machine->features = LLVMGetHostCPUFeatures();
    } else {
        machine->cpu = LLVMCreateMessage(cpu ? cpu : "generic");
        machine->features = LLVMCreateMessage(features ? features : "");
    }
    Family family = family_of(machine->triple);
    if (!machine->is_host) {
        return vectors_of_named(machine, family, error);
    }
    machine->vectors = of_level[family == FAMILY_AARCH64 ? LEVEL_NEON : LEVEL_SSE2];
    return apply_features(&machine->vectors, family, machine->features, false, error);
}

/* AVX-512 as nnc uses it has registers of 512 bits. */
static bool has_wide_vectors(const Vectors *vectors)
{
    return vectors->avx512 && !vectors->short_evex;
}

static LLVMTargetMachineRef make_machine(LLVMTargetRef target, const Machine *machine)
{
    LLVMTargetMachineOptionsRef options = LLVMCreateTargetMachineOptions();
    LLVMTargetMachineOptionsSetCPU(options, machine->cpu);
    LLVMTargetMachineOptionsSetFeatures(options, machine->features);
    LLVMTargetMachineOptionsSetCodeGenOptLevel(options, LLVMCodeGenLevelDefault);
    LLVMTargetMachineOptionsSetRelocMode(options, LLVMRelocPIC);
    LLVMTargetMachineOptionsSetCodeModel(options, LLVMCodeModelSmall);
    LLVMTargetMachineRef made =
        LLVMCreateTargetMachineWithOptions(target, machine->triple, options);
    LLVMDisposeTargetMachineOptions(options);
    return made;
}

static bool find_target(const Machine *machine, LLVMTargetRef *target, char **error)
{
    char *message = NULL;
    if (LLVMGetTargetFromTriple(machine->triple, target, &message)) {
        *error = strdup(message);
        LLVMDisposeMessage(message);
        return false;
    }
    return true;
}

const char *cg_machine_text(const CodegenOptions *options, Arena *arena)
{
    Machine machine = {0};
    char *error = NULL;
    find_machine(&machine, options->triple, options->cpu, options->features, &error);
    const char *text =
        arena_format(arena, "%s %s %s", machine.triple, machine.cpu, machine.features);
    free_machine(&machine);
    free(error);
    return text;
}

LLVMTargetMachineRef cg_machine(const CodegenOptions *options, bool *wide_vectors, bool *has_half,
                                char **error)
{
    Machine machine = {0};
    LLVMTargetRef target;
    LLVMTargetMachineRef made = NULL;
    if (find_machine(&machine, options->triple, options->cpu, options->features, error) &&
        find_target(&machine, &target, error)) {
        made = make_machine(target, &machine);
        *wide_vectors = has_wide_vectors(&machine.vectors);
        *has_half = machine.vectors.half;
    }
    free_machine(&machine);
    return made;
}

/* ---- description ---- */

static int64_t cache_bytes(int name, bool ask, int64_t otherwise)
{
    long bytes = ask ? sysconf(name) : 0;
    return bytes > 0 ? bytes : otherwise;
}

static void describe(const Machine *machine, TargetDescription *target)
{
    bool wide = has_wide_vectors(&machine->vectors);
    bool many = machine->vectors.avx512 || machine->vectors.neon;
    target->vector_bytes = wide ? 64 : machine->vectors.avx2 ? 32 : 16;
    target->vector_registers = many ? 32 : 16;
    target->has_fma = machine->vectors.fma;
    target->l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, machine->is_host, 32 << 10);
    target->l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, machine->is_host, 512 << 10);
    target->l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, machine->is_host, 16 << 20);
}

bool codegen_describe(const char *triple, const char *cpu, const char *features,
                      TargetDescription *target, char **error)
{
    Machine machine = {0};
    LLVMTargetRef unused;
    bool found = find_machine(&machine, triple, cpu, features, error) &&
                 find_target(&machine, &unused, error);
    if (found) {
        describe(&machine, target);
    }
    free_machine(&machine);
    return found;
}

CodeIdentity codegen_identity(const char *cpu)
{
    CodeIdentity identity;
    unsigned major, minor, patch;
    char *host = cpu ? NULL : LLVMGetHostCPUName();
    LLVMGetVersion(&major, &minor, &patch);
    snprintf(identity.cpu, sizeof identity.cpu, "%s", cpu ? cpu : host);
    snprintf(identity.llvm, sizeof identity.llvm, "%u.%u.%u", major, minor, patch);
    if (host)
        LLVMDisposeMessage(host);
    return identity;
}
