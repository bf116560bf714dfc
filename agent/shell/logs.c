#include "agent/shell/logs.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 << 10,
    PIPE_MOST_BYTES =
        1 << 20, // what a pipe can hold: read at most after the end, since an outsider may still write
};

void sc_attempt_logs_init(struct sc_attempt_logs *logs, uint64_t attempt)
{
    *logs = (struct sc_attempt_logs){.attempt = attempt, .tail_stream = -1};
    for (int i = 0; i < 2; i++) {
        logs->streams[i].pipe_fd = logs->streams[i].spool_fd = -1;
        sc_buf_init(&logs->streams[i].head, SC_LIMIT_LOG_INLINE_BYTES);
    }
    sc_buf_init(&logs->tail, READ_BYTES + SC_LIMIT_LOG_TAIL_BYTES + 1);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        sc_fd_close(*fd);
    *fd = -1;
}

void sc_attempt_logs_done(struct sc_attempt_logs *logs)
{
    for (int i = 0; i < 2; i++) {
        close_fd(&logs->streams[i].pipe_fd);
        close_fd(&logs->streams[i].spool_fd);
        free(logs->streams[i].spool_path);
        logs->streams[i].spool_path = NULL;
        sc_buf_done(&logs->streams[i].head);
    }
    sc_buf_done(&logs->tail);
}

enum sc_rc sc_attempt_logs_open(struct sc_attempt_logs *logs, int ret_write_fds[2], struct sc_error *err)
{
    int made[2][2] = {{-1, -1}, {-1, -1}};
    for (int i = 0; i < 2; i++) {
        // The step's end blocks, as programs expect of their output (fcntl(2): the flag is of each end).
        if (pipe2(made[i], O_CLOEXEC) || fcntl(made[i][0], F_SETFL, O_NONBLOCK)) {
            enum sc_rc rc = sc_error_errno(err, errno, "make a pipe for the step's output");
            for (int j = 0; j < 2; j++) {
                close_fd(&made[j][0]);
                close_fd(&made[j][1]);
            }
            return rc;
        }
    }
    for (int i = 0; i < 2; i++) {
        logs->streams[i].pipe_fd = made[i][0];
        ret_write_fds[i] = made[i][1];
    }
    return SC_OK;
}

// ---- keeping

// The label says whose the spool is; it is written first.
static bool open_spool(struct sc_log_stream *s, uint64_t attempt, int index, const char *folder,
                       struct sc_slice label)
{
    SC_AUTO_FREE char *label_path = sc_asprintf("%s/%llu.label", folder, (unsigned long long)attempt);
    int label_fd = open(label_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (label_fd < 0)
        return false;
    enum sc_rc rc = sc_fd_write_all(label_fd, label, NULL);
    sc_fd_close(label_fd);
    if (rc != SC_OK)
        return false;
    s->spool_path =
        sc_asprintf("%s/%llu.%s", folder, (unsigned long long)attempt, index ? "stderr" : "stdout");
    s->spool_fd = open(s->spool_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (s->spool_fd < 0) {
        free(s->spool_path);
        s->spool_path = NULL;
        return false;
    }
    return true;
}

// Appends to the spool; what does not fit is dropped, and counted.
static void spool(struct sc_log_stream *s, struct sc_slice bytes)
{
    while (bytes.len) {
        ssize_t n = pwrite(s->spool_fd, bytes.ptr, bytes.len, (off_t)s->bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            s->dropped += bytes.len;
            return;
        }
        s->bytes += (uint64_t)n;
        bytes = sc_slice_from(bytes, (size_t)n);
    }
}

static void keep(struct sc_attempt_logs *logs, int index, const char *folder, struct sc_slice label,
                 struct sc_slice bytes)
{
    struct sc_log_stream *s = &logs->streams[index];
    uint64_t room = SC_LIMIT_LOG_BYTES - s->bytes;
    if (s->dropped || room < bytes.len) {
        uint64_t fits = s->dropped ? 0 : room;
        s->dropped += bytes.len - fits;
        bytes.len = (size_t)fits;
    }
    if (bytes.len == 0)
        return;
    if (s->spool_fd < 0 && s->head.len + bytes.len <= SC_LIMIT_LOG_INLINE_BYTES) {
        sc_buf_add_slice(&s->head, bytes);
        s->bytes += bytes.len;
        return;
    }
    if (s->spool_fd < 0) {
        if (!open_spool(s, logs->attempt, index, folder, label)) {
            s->dropped += bytes.len;
            return;
        }
        s->bytes = 0;
        spool(s, sc_buf_slice(&s->head));
        if (s->dropped)
            return;
        sc_buf_done(&s->head);
    }
    spool(s, bytes);
}

static void keep_tail(struct sc_attempt_logs *logs, int index, struct sc_slice bytes)
{
    struct sc_buf *tail = &logs->tail;
    if (logs->tail_stream >= 0 && logs->tail_stream != index && tail->len && tail->ptr[tail->len - 1] != '\n')
        sc_buf_add_byte(tail, '\n'); // the other stream's line was not whole
    logs->tail_stream = index;
    if (bytes.len > SC_LIMIT_LOG_TAIL_BYTES) {
        bytes = sc_slice_from(bytes, bytes.len - SC_LIMIT_LOG_TAIL_BYTES);
        tail->len = 0;
        logs->tail_cut = true;
    }
    sc_buf_add_slice(tail, bytes);
    if (tail->len > SC_LIMIT_LOG_TAIL_BYTES) {
        size_t extra = tail->len - SC_LIMIT_LOG_TAIL_BYTES;
        memmove(tail->ptr, tail->ptr + extra, SC_LIMIT_LOG_TAIL_BYTES);
        tail->len = SC_LIMIT_LOG_TAIL_BYTES;
        logs->tail_cut = true;
    }
}

bool sc_attempt_logs_pump(struct sc_attempt_logs *logs, enum sc_stream stream, const char *folder,
                          struct sc_slice label, size_t max_bytes)
{
    struct sc_log_stream *s = &logs->streams[stream];
    uint8_t buffer[READ_BYTES];
    size_t total = 0;
    while (s->pipe_fd >= 0 && total < max_bytes) {
        ssize_t n = read(s->pipe_fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {
            close_fd(&s->pipe_fd);
            return false;
        }
        struct sc_slice bytes = sc_slice(buffer, (size_t)n);
        keep(logs, (int)stream, folder, label, bytes);
        keep_tail(logs, (int)stream, bytes);
        total += (size_t)n;
        if ((size_t)n < sizeof buffer && total < max_bytes && n < 4096)
            return true; // most likely all; what is left makes the pipe readable again
    }
    return s->pipe_fd >= 0;
}

// The note stands in the stream itself, where whoever reads the log sees it.
static void note_dropped(struct sc_attempt_logs *logs, int index, const char *folder, struct sc_slice label)
{
    struct sc_log_stream *s = &logs->streams[index];
    if (!s->dropped)
        return;
    char note[128];
    int len = snprintf(note, sizeof note, "\n[stepcache: %llu bytes of this log were dropped]\n",
                       (unsigned long long)s->dropped);
    struct sc_slice text = sc_slice(note, (size_t)len);
    uint64_t dropped = s->dropped;
    if (s->spool_fd >= 0)
        spool(s, text);
    else if (s->head.len + text.len <= SC_LIMIT_LOG_INLINE_BYTES) {
        sc_buf_add_slice(&s->head, text);
        s->bytes += text.len;
    }
    s->dropped = dropped;
    keep_tail(logs, index, text);
    (void)folder;
    (void)label;
}

void sc_attempt_logs_finish(struct sc_attempt_logs *logs, const char *folder, struct sc_slice label)
{
    for (int i = 0; i < 2; i++) {
        struct sc_log_stream *s = &logs->streams[i];
        for (size_t total = 0; s->pipe_fd >= 0 && total < PIPE_MOST_BYTES;) {
            uint64_t before = s->bytes + s->dropped;
            if (!sc_attempt_logs_pump(logs, (enum sc_stream)i, folder, label, READ_BYTES) ||
                s->bytes + s->dropped == before)
                break;
            total += (size_t)(s->bytes + s->dropped - before);
        }
        close_fd(&s->pipe_fd);
        note_dropped(logs, i, folder, label);
    }
}

// ---- telling

void sc_attempt_logs_tell_again(struct sc_attempt_logs *logs)
{
    for (int i = 0; i < 2; i++) {
        struct sc_log_stream *s = &logs->streams[i];
        uint64_t from = s->bytes > SC_LIMIT_LOG_AGAIN_BYTES ? s->bytes - SC_LIMIT_LOG_AGAIN_BYTES : 0;
        if (!logs->listened || s->told > from)
            s->told = from;
        s->left_out = s->told;
    }
}

void sc_attempt_logs_next(struct sc_attempt_logs *logs, size_t max_bytes, struct sc_arena *arena,
                          struct sc_msg_log *log)
{
    struct sc_log_stream *s = &logs->streams[log->stream];
    uint64_t left = s->bytes - s->told;
    size_t len = left < max_bytes ? (size_t)left : max_bytes;
    log->attempt = logs->attempt;
    log->offset = s->told;
    log->begins = s->told && s->told == s->left_out;
    log->text = sc_slice(NULL, 0);
    if (len == 0)
        return;
    if (s->spool_fd < 0) {
        struct sc_slice all = sc_buf_slice(&s->head);
        log->text = sc_arena_copy(arena, sc_slice(all.ptr + s->told, len));
        s->told += len;
        return;
    }
    uint8_t *bytes = sc_arena_alloc(arena, len);
    ssize_t n = pread(s->spool_fd, bytes, len, (off_t)s->told);
    if (n <= 0) { // it cannot be read back: the listener goes without
        s->told = s->bytes;
        return;
    }
    s->told += (uint64_t)n;
    log->text = sc_slice(bytes, (size_t)n);
}

// The length of a well-formed UTF-8 sequence at the start, or 0.
static size_t utf8_length(struct sc_slice s)
{
    uint8_t lead = s.ptr[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    return len && len <= s.len && sc_slice_is_utf8(sc_slice(s.ptr, len)) ? len : 0;
}

struct sc_slice sc_attempt_logs_tail(const struct sc_attempt_logs *logs, struct sc_arena *arena)
{
    struct sc_slice bytes = sc_buf_slice(&logs->tail);
    if (logs->tail_cut) { // begin with a whole line, if there is one
        const uint8_t *end = memchr(bytes.ptr, '\n', bytes.len);
        if (end && end + 1 < bytes.ptr + bytes.len)
            bytes = sc_slice_from(bytes, (size_t)(end + 1 - bytes.ptr));
    }
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 3 * SC_LIMIT_LOG_TAIL_BYTES);
    while (bytes.len) {
        size_t len = utf8_length(bytes);
        if (len)
            sc_buf_add(&text, bytes.ptr, len);
        else
            sc_buf_add_str(&text, "\xef\xbf\xbd");
        bytes = sc_slice_from(bytes, len ? len : 1);
    }
    struct sc_slice all = sc_buf_slice(&text);
    size_t extra = all.len > SC_LIMIT_LOG_TAIL_BYTES ? all.len - SC_LIMIT_LOG_TAIL_BYTES : 0;
    while (extra < all.len && (all.ptr[extra] & 0xc0) == 0x80)
        extra++;
    return sc_arena_copy(arena, sc_slice_from(all, extra));
}

size_t sc_attempt_logs_memory(const struct sc_attempt_logs *logs)
{
    return logs->streams[0].head.len + logs->streams[1].head.len + logs->tail.len;
}
