// The memo of unchanged files: (device, file system, inode, size, mtime ns, ctime ns) -> digest, so that a file is not
// read again.
// What is remembered is what cannot change without new times: nobody could write to the file when it was read
// (sc_memo_moment), and its mtime and ctime were older than that by at least the file system's granularity (git's
// racy-file rule), since a write in the same tick of the clock leaves the same times.
// Kept in one file, written whole and atomically; losing it costs time only. One thread; finding alone may be done by
// several at once while nobody else calls.
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "store/volume.h"

#include <sys/stat.h>

struct sc_memo;

// Loads the memo at path (absent or damaged: empty). Bounded: the least recently used entries leave past max_entries.
struct sc_memo *sc_memo_open(const char *path, uint32_t max_entries);
// Writes it when something changed, without sync.
SC_MUST_USE enum sc_rc sc_memo_save(struct sc_memo *memo, struct sc_error *err);
void sc_memo_close(struct sc_memo *memo);
// volume: where the file lies; on any other, it is not known.
bool sc_memo_find(struct sc_memo *memo, const struct sc_volume *volume, const struct stat *st,
                  struct sc_digest *ret_digest);
// From when on a change of the open file's content shows in its times: wall clock, ns, asked for before its first byte is
// read. SC_MEMO_NEVER: it may change without a trace, since it has a writer or its volume does not stamp.
int64_t sc_memo_moment(int fd, const struct sc_volume *volume);
#define SC_MEMO_NEVER INT64_MIN
// `taken_ns`: that moment, or INT64_MAX where the caller knows that nobody ever writes to the file.
void sc_memo_remember(struct sc_memo *memo, const struct sc_volume *volume, const struct stat *st,
                      int64_t taken_ns, const struct sc_digest *digest);
