// HTTP exchanges over one libcurl multi handle: HTTP/1.1 with kept connections, certificates always checked, redirects
// never followed, paths sent as they are. It knows nothing of S3 but the names of its headers. One thread; `done` is
// called from sc_s3_http_turn alone.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/error.h"
#include "store/s3/retry.h"
#include "store/s3/sign.h"

struct sc_s3_http;

struct sc_s3_http_config {
    const char *ca;       // a file or folder of authorities; NULL: the system's
    uint32_t connections; // kept open at most
    uint32_t connect_ms;  // to connect, TLS included
    uint32_t stall_ms;    // slower than 1 KiB/s for so long: stalled
};
SC_MUST_USE enum sc_rc sc_s3_http_new(const struct sc_s3_http_config *config, struct sc_s3_http **ret_http,
                                      struct sc_error *err);
void sc_s3_http_free(struct sc_s3_http *http); // nothing is under way

// An answer's status and what its headers say; texts lie in the exchange's arena. Absent numbers are -1, texts empty.
struct sc_s3_answer {
    enum sc_s3_failure failure;
    struct sc_error own; // of SC_S3_OURS; else the transport's words
    uint32_t status;
    bool resent;    // curl sent the body twice: a kept connection broke, and the first may have been taken
    int64_t length; // of the body
    int64_t range_first, range_last, range_total; // Content-Range; "bytes */5" has a total alone
    int64_t date_ms, mtime_ms, retry_after_ms;    // 0: absent
    struct sc_slice etag, version, request_id, region, storage_class, restore, archive;
    struct sc_digest
        checksum; // x-amz-checksum-sha256 of the whole object; zero: none, or one of parts' checksums
    struct sc_slice writer, sha256; // that we said when it was put; x-amz-meta-…
};

// Where a body that is wanted goes (status 200 to 299). All other bodies are kept in `text`.
struct sc_s3_sink {
    // Once, before the first byte: whether this is what was asked for. May be NULL.
    enum sc_rc (*begin)(void *context, const struct sc_s3_answer *answer, struct sc_error *err);
    enum sc_rc (*take)(void *context, struct sc_slice bytes, struct sc_error *err); // NULL: into `text`, too
    void *context;
};

// Where a body comes from: memory, or a part of a file that stays open.
struct sc_s3_source {
    struct sc_slice bytes;
    int fd; // -1: bytes
    uint64_t offset, size;
    void (*sent)(void *context, uint64_t so_far); // of the progress, which may go back; or NULL
    void *context;
};

struct sc_s3_exchange;
typedef void (*sc_s3_exchange_fn)(struct sc_s3_exchange *exchange);

// One exchange. The caller fills it, owns it, and keeps all that it points at until `done`.
struct sc_s3_exchange {
    const char *method;
    const char *url;
    const struct sc_s3_headers *headers;
    struct sc_s3_source source; // PUT and POST
    struct sc_s3_sink sink;
    uint32_t stall_ms; // 0: as configured; for answers that take the server long
    sc_s3_exchange_fn done;
    void *context;
    // the answer
    struct sc_arena arena;
    struct sc_s3_answer answer;
    struct sc_buf text;
    uint32_t further; // requests beyond the one that it took, as the wire says
    enum sc_s3_ask further_ask;
    // the engine's
    struct sc_s3_http *http;
    void *easy;
    void *list;
    uint64_t sent;
    bool begun, resent;
    struct sc_error own;
    char words[256];
    struct sc_s3_exchange *next;
};
void sc_s3_exchange_init(struct sc_s3_exchange *exchange);
void sc_s3_exchange_done(struct sc_s3_exchange *exchange);

// For who carries exchanges: forgets what an earlier attempt left.
void sc_s3_exchange_begin(struct sc_s3_exchange *exchange);
// Hands over a piece of the answer's body, of which the status and the headers are known. False: `own` says why not.
bool sc_s3_exchange_take(struct sc_s3_exchange *exchange, struct sc_slice piece);
uint64_t sc_s3_source_size(const struct sc_s3_source *source);
// The next bytes of the source; how many. False: `own` says why not.
bool sc_s3_exchange_give(struct sc_s3_exchange *exchange, void *bytes, size_t room, size_t *ret_len);

void sc_s3_http_submit(struct sc_s3_http *http, struct sc_s3_exchange *exchange);
uint32_t sc_s3_http_pending(const struct sc_s3_http *http);
// Moves bytes, and calls `done` of what has ended; waits up to wait_ms (-1: a second) when nothing has. Returns how many
// ended.
uint32_t sc_s3_http_turn(struct sc_s3_http *http, int wait_ms);
