#include "coordinator/shell/spending.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/os/log.h"
#include "store/store.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { SAVE_EVERY_MS = 60 * 1000, FILE_BYTES = 4096 };

struct sc_spending {
    pthread_mutex_t lock;
    char *file;
    struct sc_requests others; // of earlier lives, and of agents
    int64_t since_ms, saved_ms;
};

static bool read_count(const json_t *json, const char *name, uint64_t *ret_count)
{
    const json_t *value = json_object_get(json, name);
    *ret_count = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool load(struct sc_spending *spending)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, FILE_BYTES + 65536);
    if (sc_file_read(spending->file, FILE_BYTES, &text, NULL) != SC_OK)
        return false;
    json_t *json = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    struct sc_requests found;
    uint64_t since_ms;
    bool good = read_count(json, "put", &found.put) && read_count(json, "get", &found.get) &&
                read_count(json, "delete", &found.delete_) && read_count(json, "since_ms", &since_ms);
    json_decref(json);
    if (good) {
        spending->others = found;
        spending->since_ms = (int64_t)since_ms;
    }
    return good;
}

struct sc_spending *sc_spending_open(const char *file)
{
    struct sc_spending *spending = sc_calloc(1, sizeof *spending);
    pthread_mutex_init(&spending->lock, NULL);
    spending->file = sc_strdup(file);
    spending->saved_ms = sc_clock_mono_ms();
    if (!load(spending))
        spending->since_ms = sc_clock_wall_ms();
    return spending;
}

static struct sc_requests sum(const struct sc_spending *spending)
{
    struct sc_store_requests own = sc_store_requests();
    const struct sc_requests *others = &spending->others;
    return (struct sc_requests){others->put + own.put, others->get + own.get, others->delete_ + own.delete_};
}

// Whole and by a rename, without sync: a torn one counts as absent. Under the lock.
static void save(struct sc_spending *spending)
{
    struct sc_requests all = sum(spending);
    spending->saved_ms = sc_clock_mono_ms();
    if (all.put + all.get + all.delete_ == 0)
        return; // a folder's
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_buf_printf(&text, "{\"since_ms\": %lld, \"put\": %llu, \"get\": %llu, \"delete\": %llu}\n",
                  (long long)spending->since_ms, (unsigned long long)all.put, (unsigned long long)all.get,
                  (unsigned long long)all.delete_);
    SC_AUTO_FREE char *temporary = sc_asprintf("%s.new", spending->file);
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_CLOSE int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || sc_fd_write_all(fd, sc_buf_slice(&text), &err) != SC_OK ||
        rename(temporary, spending->file))
        sc_log(SC_LOG_WARN, "part=spending ignoring that %s was not written", spending->file);
}

void sc_spending_close(struct sc_spending *spending)
{
    if (!spending)
        return;
    save(spending);
    pthread_mutex_destroy(&spending->lock);
    free(spending->file);
    free(spending);
}

void sc_spending_add(struct sc_spending *spending, const struct sc_requests *more)
{
    pthread_mutex_lock(&spending->lock);
    spending->others.put += more->put;
    spending->others.get += more->get;
    spending->others.delete_ += more->delete_;
    if (sc_clock_mono_ms() - spending->saved_ms >= SAVE_EVERY_MS)
        save(spending);
    pthread_mutex_unlock(&spending->lock);
}

struct sc_requests sc_spending_sum(struct sc_spending *spending, int64_t *ret_since_ms)
{
    pthread_mutex_lock(&spending->lock);
    struct sc_requests all = sum(spending);
    *ret_since_ms = spending->since_ms;
    pthread_mutex_unlock(&spending->lock);
    return all;
}
