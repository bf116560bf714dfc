// Reads one open file through SHA-256: in large chunks, holes without touching the disk, and says so when the file
// changed meanwhile. One thread.
#pragma once

#include "base/digest.h"
#include "base/error.h"

#include <sys/stat.h>

struct sc_reader {
    struct sc_hasher *hasher;
    uint8_t *chunk; // grows with what is read
    size_t chunk_bytes;
    void (*tick)(void *context, uint64_t bytes); // after each chunk, or NULL
    void *context;
};

void sc_reader_init(struct sc_reader *reader);
void sc_reader_done(struct sc_reader *reader);
// `shown` names the file in errors: SC_UNSUPPORTED when it is not regular, SC_BUSY when size or times changed while it
// was read, SC_IO. `linked`: a new hardlink, which changes ctime alone, is not a change (objects get them).
// *ret_st is how the file was after reading.
SC_MUST_USE enum sc_rc sc_reader_digest(struct sc_reader *reader, int fd, const char *shown, bool linked,
                                        struct stat *ret_st, struct sc_digest *ret_digest,
                                        struct sc_error *err);
// "a FIFO", "a socket" … for what is no regular file.
const char *sc_reader_kind_name(mode_t mode);
// What is said of a path in a store where that stands in an object's place; the kind's name fills it in.
#define SC_READER_NOT_A_FILE "is %s where an object belongs; remove it"
