// A pack: many small files of folders in one object, where each object costs a request. Pure. Its name is the SHA-256 of
// its bytes:
//
//     frame …    zstd, each of the bytes of some files one after another, at most SC_PACK_FRAME_BYTES (or one file)
//     index      zstd of ["stepcache.pack/1", [[packed bytes of the frame, [[digest, bytes] …]] …]]
//     8 bytes    the packed bytes of the index, little-endian
//
// A tree object names the packs of its folder (store/tree.h): there every file of at most SC_PACK_FILE_BYTES lies in one of
// them, and no other does.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/codec.h"
#include "base/digest.h"
#include "base/error.h"

#define SC_PACK_FILE_BYTES  (128u << 10) // larger files are objects of their own
#define SC_PACK_FRAME_BYTES (1u << 20)
#define SC_PACK_RAW_BYTES   (8u << 20)  // of the files of one pack, at most
#define SC_PACK_BYTES       (16u << 20) // of a pack, at most: index and what does not compress included

// Packs files as they come; what came in the same order is cut in the same places, so that most packs of a folder of which
// a few files changed are those of the folder before.
struct sc_pack_writer {
    struct sc_buf frame, packed, index; // index: the entries of the frames that are done
    struct sc_buf entries;              // of the frame that is being filled
    uint32_t entry_count, frame_count;
    uint64_t raw_bytes; // of this pack
};
void sc_pack_writer_init(struct sc_pack_writer *writer);
void sc_pack_writer_done(struct sc_pack_writer *writer);
// True: the pack is to be closed by sc_pack_close before more is added.
SC_MUST_USE bool sc_pack_add(struct sc_pack_writer *writer, const struct sc_digest *digest,
                             struct sc_slice bytes);
bool sc_pack_is_empty(const struct sc_pack_writer *writer);
// Appends the pack to out, and begins the next.
void sc_pack_close(struct sc_pack_writer *writer, struct sc_buf *out);

struct sc_pack_entry {
    struct sc_digest digest;
    uint32_t frame, offset, bytes; // offset in the frame's plain bytes
    uint32_t pack;                 // the reader's (store/pack_reader.c)
};
struct sc_pack_frame {
    uint32_t at, packed, plain; // bytes
};
struct sc_pack_index {
    SC_LIST(struct sc_pack_entry, entries);
    SC_LIST(struct sc_pack_frame, frames);
};
// SC_CORRUPT when it is none, SC_VERSION when it is of another version.
SC_MUST_USE enum sc_rc sc_pack_read_index(struct sc_slice pack, struct sc_arena *arena,
                                          struct sc_pack_index *ret_index, struct sc_error *err);
// Replaces the buffer's contents by the frame's plain bytes.
SC_MUST_USE enum sc_rc sc_pack_read_frame(struct sc_slice pack, const struct sc_pack_frame *frame,
                                          struct sc_buf *ret_plain, struct sc_error *err);
