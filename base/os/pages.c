#include "base/os/pages.h"

#include "base/memory.h"

#include <stdint.h>
#include <sys/mman.h>

void *sc_pages_map(size_t *bytes)
{
    const size_t huge = SC_PAGES_HUGE_BYTES;
    SC_ASSERT(*bytes <= SIZE_MAX - 2 * huge);
    size_t want = (*bytes + huge - 1) / huge * huge;
    uint8_t *got = mmap(NULL, want + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SC_ASSERT(got != MAP_FAILED);
    uint8_t *pages = (uint8_t *)(((uintptr_t)got + huge - 1) & ~(uintptr_t)(huge - 1));
    if (pages > got)
        munmap(got, (size_t)(pages - got));
    size_t after = (size_t)(got + want + huge - (pages + want));
    if (after)
        munmap(pages + want, after);
    // The rest of the last one comes in ordinary pages, as it is touched. Refused where there are none: those do.
    madvise(pages, *bytes / huge * huge, MADV_HUGEPAGE);
    *bytes = want;
    return pages;
}

void sc_pages_unmap(void *pages, size_t bytes)
{
    SC_ASSERT(munmap(pages, bytes) == 0);
}
