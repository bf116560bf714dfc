// Copying a file's bytes between descriptors without filling its holes: shared blocks where the file system can
// (FICLONE), else copy_file_range, else reads and writes.
#pragma once

#include "base/error.h"

#include <stdint.h>

// Copies from's first `bytes` bytes to the empty file `to`, whose size is `bytes` then. SC_BUSY when `from` is shorter.
SC_MUST_USE enum sc_rc sc_copy_file(int from, int to, uint64_t bytes, struct sc_error *err);
