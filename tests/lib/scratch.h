// A scratch folder of one test: made 0700 under TMPDIR, removed with all that is in it. Aborts when it cannot be made.
#pragma once

#include "base/slice.h"

#include <sys/types.h>

// Its absolute path; the caller frees it with sc_scratch_remove.
char *sc_scratch_new(void);
void sc_scratch_remove(char *path);
// "<folder>/<name>", in memory that the caller frees.
char *sc_scratch_path(const char *folder, const char *name);
// Writes a file whole, in place of what is there. Aborts when it cannot.
void sc_scratch_write(const char *path, struct sc_slice bytes, mode_t mode);
// cmocka's setup and teardown of a test whose state is its scratch folder.
int sc_scratch_setup(void **state);
int sc_scratch_teardown(void **state);
