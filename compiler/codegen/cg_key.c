/* Keys of machine code: 128 bits of a hash over everything that decides over it. Equal keys mean
 * equal objects, today and on any day, so an object may be kept under its key.
 *
 *   kernel   kernel_key, which does not see names
 *   entries  the launches, regions and buffers of a program, and the keys of its kernels
 *   options  processor and features, LLVM's version, this build of nnc, what is announced
 *
 * A build of nnc is known by the identifier that the linker has put into the binary (a hash of its
 * contents), or else by the size and the time of its file. */
#include "compiler/codegen/cg.h"
#include "runtime/base/rng.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>

CodeKey cg_join_keys(CodeKey x, CodeKey y)
{
    uint64_t words[4] = {x.a, x.b, y.a, y.b};
    return (CodeKey){rng_hash(words, sizeof words, 11), rng_hash(words, sizeof words, 13)};
}

static void add_bytes(CodeKey *key, const void *data, size_t bytes)
{
    CodeKey piece = {rng_hash(data, bytes, 3), rng_hash(data, bytes, 5)};
    *key = cg_join_keys(*key, piece);
}

static void add_text(CodeKey *key, const char *text)
{
    add_bytes(key, text ? text : "", text ? strlen(text) + 1 : 0);
}

/* ---- this build ---- */

typedef struct {
    CodeKey *key;
    uintptr_t address; /* of our own code */
    bool found;
} Build;

static void take_notes(Build *build, const char *notes, size_t bytes)
{
    while (bytes >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)notes;
        size_t name = (note->n_namesz + 3u) & ~(size_t)3, text = (note->n_descsz + 3u) & ~(size_t)3;
        size_t whole = sizeof *note + name + text;
        if (whole > bytes) {
            return;
        }
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
            memcmp(notes + sizeof *note, "GNU", 4) == 0) {
            add_bytes(build->key, notes + sizeof *note + name, note->n_descsz);
            build->found = true;
        }
        notes += whole;
        bytes -= whole;
    }
}

static int look_at_binary(struct dl_phdr_info *info, size_t size, void *user)
{
    Build *build = user;
    bool ours = false;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;
        ours |= part->p_type == PT_LOAD && build->address >= begin &&
                build->address - begin < part->p_memsz;
    }
    for (int i = 0; ours && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_NOTE) {
            take_notes(build, (const char *)(info->dlpi_addr + part->p_vaddr), part->p_memsz);
        }
    }
    return ours;
}

static void add_build(CodeKey *key)
{
    Build build = {.key = key, .address = (uintptr_t)add_build};
    Dl_info file;
    struct stat status;
    void *address = NULL;
    memcpy(&address, &build.address, sizeof address);
    dl_iterate_phdr(look_at_binary, &build);
    if (!build.found && dladdr(address, &file) && stat(file.dli_fname, &status) == 0) {
        int64_t facts[3] = {status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
        add_bytes(key, facts, sizeof facts);
    }
}

CodeKey cg_options_key(const CodegenOptions *options)
{
    CodeKey key = {1, 1};
    CodeIdentity identity = codegen_identity(options->cpu);
    Arena *arena = arena_new();
    add_text(&key, cg_machine_text(options, arena));
    add_text(&key, identity.llvm);
    add_text(&key, options->announce_ranges ? "ranges" : "");
    add_build(&key);
    arena_free(arena);
    return key;
}

/* ---- entries ---- */

static void add_buffers(CodeKey *key, const KProgram *program)
{
    for (uint32_t i = 0; i < program->buffers.count; i++) {
        const ProgramBuffer *buffer = &program->buffers.data[i];
        uint32_t facts[4] = {buffer->kind, buffer->slot, buffer->base, buffer->region};
        add_bytes(key, facts, sizeof facts);
        if (buffer->kind == BUFFER_CONSTANT) {
            add_bytes(key, buffer->data, buffer->bytes);
        }
    }
}

static void add_launches(CodeKey *key, const CgList *list, const KProgram *program,
                         const uint32_t *items)
{
    for (uint32_t i = 0; i < program->launches.count; i++) {
        const Launch *launch = &program->launches.data[i];
        CodeKey called = {launch->kernel, 0};
        if (!launch->is_extern) {
            called = list->items.data[items[launch->kernel]].key;
        }
        uint64_t facts[6] = {launch->is_extern,  launch->count_slot, (uint64_t)launch->grain,
                             launch->dims_slot, launch->dims_count, launch->args.count};
        *key = cg_join_keys(*key, called);
        add_bytes(key, facts, sizeof facts);
        add_bytes(key, launch->args.data, launch->args.count * sizeof *launch->args.data);
    }
}

CodeKey cg_entry_key(const CgList *list, const KProgram *program, const uint32_t *items)
{
    CodeKey key = list->items.data[items[program->kernels.count]].key;
    uint32_t counts[5] = {program->buffers.count, program->externals, program->launches.count,
                          program->regions.count, program->externs.count};
    add_text(&key, program->name);
    add_bytes(&key, counts, sizeof counts);
    add_buffers(&key, program);
    add_launches(&key, list, program, items);
    for (uint32_t i = 0; i < program->regions.count; i++) {
        const KRegion *region = &program->regions.data[i];
        int64_t facts[6] = {region->kind,       region->first,   region->last,
                            region->count_slot, region->reverse, region->condition};
        add_bytes(&key, facts, sizeof facts);
    }
    return key;
}
