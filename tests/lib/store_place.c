#include "tests/lib/store_place.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "store/store.h"

#include <stdio.h>
#include <unistd.h>

static const char *endpoint; // the URL, or NULL: folders
static bool by_libs3;
static unsigned count;

bool sc_store_place_choose(int argc, char **argv)
{
    by_libs3 = argc >= 2 && strcmp(argv[1], "libs3") == 0;
    if (argc < 2 || (strcmp(argv[1], "s3") != 0 && !by_libs3))
        return true;
    endpoint = getenv("STEPCACHE_S3");
    if (!endpoint || !endpoint[0])
        printf("1..0 # SKIP STEPCACHE_S3 is not set\n");
    return endpoint && endpoint[0];
}

bool sc_store_place_is_s3(void)
{
    return endpoint != NULL;
}

bool sc_store_place_is_libs3(void)
{
    return by_libs3;
}

char *sc_store_place_new(const char *scratch)
{
    if (!endpoint)
        return sc_asprintf("%s/a/b/store", scratch);
    const char *query = strchr(endpoint, '?');
    int place = query ? (int)(query - endpoint) : (int)strlen(endpoint);
    while (place && endpoint[place - 1] == '/')
        place--;
    const char *client = !by_libs3 ? "" : query ? "&client=libs3" : "?client=libs3";
    return sc_asprintf("%.*s/test-%lld-%d-%u%s%s", place, endpoint, (long long)sc_clock_wall_ms(),
                       (int)getpid(), count++, query ? query : "", client);
}

static void removed(struct sc_store_op *op)
{
    sc_store_op_done(op);
    free(op);
}

static bool remove_some(struct sc_store *store)
{
    struct sc_store_op list;
    sc_store_op_init(&list, SC_STORE_LIST, sc_slice_str(""));
    list.max_entries = 1000;
    bool any = sc_store_wait(store, &list) == SC_OK && list.entry_count > 0;
    for (uint32_t i = 0; any && i < list.entry_count; i++) {
        struct sc_store_op *op = sc_calloc(1, sizeof *op);
        sc_store_op_init(op, SC_STORE_REMOVE, list.entries[i].name);
        op->done = removed;
        sc_store_submit(store, op);
    }
    while (sc_store_dispatch(store, -1) > 0) {}
    sc_store_op_done(&list);
    return any;
}

void sc_store_place_remove(char *url)
{
    struct sc_store *store;
    struct sc_error err = SC_ERROR_INIT;
    if (url && endpoint && sc_store_open(url, &store, &err) == SC_OK) {
        while (remove_some(store)) {}
        sc_store_close(store);
    }
    free(url); // a folder goes with the scratch folder that it lies in
}
