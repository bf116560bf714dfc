// Large zeroed memory straight from the kernel, in huge pages where it gives them: a page fault costs more than the 4 KiB
// it brings when a plan of 100,000 steps is read.
#pragma once

#include <stddef.h>

enum { SC_PAGES_HUGE_BYTES = 2 << 20 };

// bytes is rounded up to huge pages; aborts when there is none.
void *sc_pages_map(size_t *bytes) __attribute__((returns_nonnull));
void sc_pages_unmap(void *pages, size_t bytes);
