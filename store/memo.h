// The memo of unchanged files: (device, inode, size, mtime ns, ctime ns) -> digest, so that a file is not read again.
// Git's racy-file rule: an entry is not trusted when the file's mtime or ctime is not older than the moment it was
// remembered by at least the file system's granularity, since a later write could leave the same times.
// Kept in one file, written whole and atomically; losing it costs time only. One thread; finding alone may be done by
// several at once while nobody else calls.
#pragma once

#include "base/digest.h"
#include "base/error.h"

#include <sys/stat.h>

struct sc_memo;

// Loads the memo at path (absent or damaged: empty). Bounded: the least recently used entries leave past max_entries.
struct sc_memo *sc_memo_open(const char *path, uint32_t max_entries);
// Writes it when something changed, without sync.
SC_MUST_USE enum sc_rc sc_memo_save(struct sc_memo *memo, struct sc_error *err);
void sc_memo_close(struct sc_memo *memo);
bool sc_memo_find(struct sc_memo *memo, const struct stat *st, struct sc_digest *ret_digest);
// `taken_ns`: wall clock read before the file was opened for hashing.
void sc_memo_remember(struct sc_memo *memo, const struct stat *st, int64_t taken_ns,
                      const struct sc_digest *digest);
