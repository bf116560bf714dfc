#include "store/pack.h"

#include "base/memory.h"
#include "base/mp.h"
#include "store/compress.h"

static const char pack_version[] = "stepcache.pack/1";

enum {
    TRAILER_BYTES = 8,
    CUT_FROM_BYTES = 1 << 20,  // no pack is cut before
    CUT_EVERY_BYTES = 3 << 20, // of files, on average, after that
    LEAST_ENTRY_BYTES = 36,    // [bin 8 of 32 bytes, 0]
    INDEX_BYTES = 12 << 20,
};

void sc_pack_writer_init(struct sc_pack_writer *writer)
{
    *writer = (struct sc_pack_writer){0};
    sc_buf_init(&writer->frame, 0);
    sc_buf_init(&writer->packed, 0);
    sc_buf_init(&writer->index, 0);
    sc_buf_init(&writer->entries, 0);
}

void sc_pack_writer_done(struct sc_pack_writer *writer)
{
    sc_buf_done(&writer->frame);
    sc_buf_done(&writer->packed);
    sc_buf_done(&writer->index);
    sc_buf_done(&writer->entries);
}

static void close_frame(struct sc_pack_writer *writer)
{
    if (writer->entry_count == 0)
        return;
    size_t before = writer->packed.len;
    if (writer->frame.len) // empty files alone need no bytes
        sc_compress(sc_buf_slice(&writer->frame), &writer->packed);
    sc_mp_put_array(&writer->index, 2);
    sc_mp_put_uint(&writer->index, writer->packed.len - before);
    sc_mp_put_array(&writer->index, writer->entry_count);
    sc_buf_add_slice(&writer->index, sc_buf_slice(&writer->entries));
    sc_buf_clear(&writer->frame);
    sc_buf_clear(&writer->entries);
    writer->entry_count = 0;
    writer->frame_count++;
}

// By content: a file is the last of its pack with a chance that grows with its size.
static bool is_cut(const struct sc_digest *digest, size_t bytes)
{
    uint32_t draw = (uint32_t)digest->bytes[0] << 16 | (uint32_t)digest->bytes[1] << 8 | digest->bytes[2];
    return (uint64_t)draw * CUT_EVERY_BYTES < (uint64_t)(bytes + LEAST_ENTRY_BYTES) << 24;
}

bool sc_pack_add(struct sc_pack_writer *writer, const struct sc_digest *digest, struct sc_slice bytes)
{
    SC_ASSERT(bytes.len <= SC_PACK_FILE_BYTES && writer->raw_bytes <= SC_PACK_RAW_BYTES);
    if (writer->frame.len + bytes.len > SC_PACK_FRAME_BYTES)
        close_frame(writer);
    sc_mp_put_array(&writer->entries, 2);
    sc_mp_put_digest(&writer->entries, digest);
    sc_mp_put_uint(&writer->entries, bytes.len);
    writer->entry_count++;
    sc_buf_add_slice(&writer->frame, bytes);
    writer->raw_bytes += bytes.len + LEAST_ENTRY_BYTES;
    return writer->raw_bytes > SC_PACK_RAW_BYTES - SC_PACK_FILE_BYTES - LEAST_ENTRY_BYTES ||
           (writer->raw_bytes >= CUT_FROM_BYTES && is_cut(digest, bytes.len));
}

bool sc_pack_is_empty(const struct sc_pack_writer *writer)
{
    return writer->raw_bytes == 0;
}

void sc_pack_close(struct sc_pack_writer *writer, struct sc_buf *out)
{
    close_frame(writer);
    SC_AUTO_BUF struct sc_buf index;
    sc_buf_init(&index, 0);
    sc_mp_put_array(&index, 2);
    sc_mp_put_cstr(&index, pack_version);
    sc_mp_put_array(&index, writer->frame_count);
    sc_buf_add_slice(&index, sc_buf_slice(&writer->index));
    sc_buf_add_slice(out, sc_buf_slice(&writer->packed));
    size_t before = out->len;
    sc_compress(sc_buf_slice(&index), out);
    uint64_t bytes = out->len - before;
    for (int i = 0; i < TRAILER_BYTES; i++)
        sc_buf_add_byte(out, (uint8_t)(bytes >> (8 * i)));
    sc_buf_clear(&writer->packed);
    sc_buf_clear(&writer->index);
    writer->frame_count = 0;
    writer->raw_bytes = 0;
}

static enum sc_rc malformed(struct sc_error *err)
{
    return sc_error_set(err, SC_CORRUPT, "pack: not of the form of %s", pack_version);
}

// The packed index, and how many bytes of frames stand before it.
static bool split(struct sc_slice pack, struct sc_slice *ret_index, size_t *ret_frames)
{
    if (pack.len < TRAILER_BYTES)
        return false;
    size_t body = pack.len - TRAILER_BYTES;
    uint64_t bytes = 0;
    for (int i = 0; i < TRAILER_BYTES; i++)
        bytes |= (uint64_t)pack.ptr[body + (size_t)i] << (8 * i);
    if (bytes == 0 || bytes > body)
        return false;
    *ret_frames = body - (size_t)bytes;
    *ret_index = sc_slice(pack.ptr + *ret_frames, (size_t)bytes);
    return true;
}

static bool read_frame_entries(struct sc_mp_reader *reader, struct sc_pack_index *index, uint32_t frame,
                               size_t room)
{
    struct sc_pack_frame *f = &index->frames.items[frame];
    uint64_t packed = sc_mp_get_array(reader) == 2 ? sc_mp_get_uint(reader) : UINT64_MAX;
    uint32_t count = sc_mp_get_array(reader);
    uint64_t plain = 0;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        if (index->entries.count == room || sc_mp_get_array(reader) != 2)
            return false;
        struct sc_pack_entry *e = &index->entries.items[index->entries.count++];
        e->digest = sc_mp_get_digest(reader);
        uint64_t bytes = sc_mp_get_uint(reader);
        if (bytes > SC_PACK_FILE_BYTES)
            return false;
        e->frame = frame;
        e->offset = (uint32_t)plain;
        e->bytes = (uint32_t)bytes;
        plain += bytes;
    }
    if (reader->failed || packed > SC_PACK_BYTES || plain > SC_PACK_FRAME_BYTES)
        return false;
    f->packed = (uint32_t)packed;
    f->plain = (uint32_t)plain;
    return (packed == 0) == (plain == 0);
}

enum sc_rc sc_pack_read_index(struct sc_slice pack, struct sc_arena *arena, struct sc_pack_index *ret_index,
                              struct sc_error *err)
{
    struct sc_slice packed_index;
    size_t frames_bytes, at = 0;
    if (pack.len > SC_PACK_BYTES || !split(pack, &packed_index, &frames_bytes))
        return malformed(err);
    SC_AUTO_BUF struct sc_buf plain;
    sc_buf_init(&plain, INDEX_BYTES);
    enum sc_rc rc = sc_decompress(packed_index, INDEX_BYTES, &plain, err);
    if (rc != SC_OK)
        return sc_error_wrap(err, SC_CORRUPT, "pack");
    struct sc_mp_reader reader = sc_mp_reader(sc_buf_slice(&plain));
    uint32_t fields = sc_mp_get_array(&reader);
    struct sc_slice version = sc_mp_get_str(&reader);
    if (!reader.failed && !sc_slice_eq_str(version, pack_version) &&
        sc_slice_starts(version, "stepcache.pack/"))
        return sc_error_set(err, SC_VERSION, "pack of an unknown version");
    uint32_t count = sc_mp_get_array(&reader);
    size_t room = plain.len / LEAST_ENTRY_BYTES + 1;
    if (reader.failed || fields != 2 || !sc_slice_eq_str(version, pack_version) || count > plain.len)
        return malformed(err);
    struct sc_pack_index index = {0};
    index.frames.items = SC_NEW_ARRAY(arena, count, struct sc_pack_frame);
    index.frames.count = count;
    index.entries.items = SC_NEW_ARRAY(arena, room, struct sc_pack_entry);
    for (uint32_t i = 0; i < count; i++) {
        if (!read_frame_entries(&reader, &index, i, room) || index.frames.items[i].packed > frames_bytes - at)
            return malformed(err);
        index.frames.items[i].at = (uint32_t)at;
        at += index.frames.items[i].packed;
    }
    if (!sc_mp_finished(&reader) || at != frames_bytes)
        return malformed(err);
    *ret_index = index;
    return SC_OK;
}

enum sc_rc sc_pack_read_frame(struct sc_slice pack, const struct sc_pack_frame *frame,
                              struct sc_buf *ret_plain, struct sc_error *err)
{
    sc_buf_clear(ret_plain);
    if (frame->plain == 0)
        return SC_OK;
    enum sc_rc rc =
        sc_decompress(sc_slice(pack.ptr + frame->at, frame->packed), frame->plain, ret_plain, err);
    if (rc == SC_OK && ret_plain->len != frame->plain)
        rc = sc_error_set(err, SC_CORRUPT, "a frame of another size than the index says");
    return rc == SC_OK ? SC_OK : sc_error_wrap(err, SC_CORRUPT, "pack");
}
