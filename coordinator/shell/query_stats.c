// cache stats, for queries: what lies in the store, what it saved, what it cost.
#include "coordinator/shell/query_parts.h"

#include "base/memory.h"

struct counting {
    uint64_t objects, bytes, records, named_bytes;
};

static enum sc_rc count_objects(void *context, const struct sc_store_op *list, struct sc_error *err)
{
    struct counting *c = context;
    (void)err;
    c->objects += list->entry_count;
    for (uint32_t i = 0; i < list->entry_count; i++)
        c->bytes += list->entries[i].bytes;
    return SC_OK;
}

static enum sc_rc count_record(void *context, const struct query_read_record *read, struct sc_error *err)
{
    struct counting *c = context;
    (void)err;
    c->records++;
    for (uint32_t i = 0; read->rc == SC_OK && i < read->record.outputs.count; i++)
        c->named_bytes += read->record.outputs.items[i].artifact.bytes;
    return SC_OK;
}

static void set(json_t *row, const char *name, uint64_t value)
{
    json_object_set_new(row, name, json_integer((json_int_t)value));
}

// To so many parts of one.
static json_t *rounded(double value, double parts)
{
    return json_real((double)(uint64_t)(value * parts + 0.5) / parts);
}

// To a thousandth; 1 where there is nothing yet.
static json_t *ratio(uint64_t part, uint64_t whole)
{
    return rounded(whole ? (double)part / (double)whole : 1, 1000);
}

static void run_sums(struct sc_queries *queries, json_t *row)
{
    static const char *const names[] = {"runs", "hits", "misses", "joined", "ran_ms", "saved_ms"};
    uint64_t sums[SC_COUNT(names)] = {0};
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(
            queries->db,
            "SELECT count(*), sum(hits), sum(misses), sum(joined), sum(ran_ms), sum(saved_ms) FROM runs", -1,
            &s, NULL) != SQLITE_OK)
        return;
    if (sqlite3_step(s) == SQLITE_ROW)
        for (size_t i = 0; i < SC_COUNT(names); i++)
            set(row, names[i], sums[i] = (uint64_t)sqlite3_column_int64(s, (int)i));
    sqlite3_finalize(s);
    if (sums[1] + sums[2])
        json_object_set_new(row, "hit_rate", ratio(sums[1], sums[1] + sums[2]));
}

// Of a folder there is nothing to pay.
static void prices(struct sc_queries *queries, uint64_t bytes, json_t *row)
{
    const struct sc_tariff *tariff = &queries->config.tariff;
    int64_t since_ms;
    if (!queries->config.spending || sc_store_local_root(queries->store))
        return;
    struct sc_requests sum = sc_spending_sum(queries->config.spending, &since_ms);
    double requests = ((double)sum.put * (double)tariff->put + (double)sum.get * (double)tariff->get) / 1e9;
    json_object_set_new(row, "requests_since_at", json_integer(since_ms));
    set(row, "requests_put", sum.put);
    set(row, "requests_get", sum.get);
    set(row, "requests_delete", sum.delete_);
    json_object_set_new(row, "requests_price", rounded(requests, 1e6));
    json_object_set_new(row, "storage_price_a_month",
                        rounded((double)bytes / (double)(1u << 30) * (double)tariff->storage / 1e6, 1e6));
}

enum sc_rc query_stats(struct sc_queries *queries, struct sc_job *job, struct sc_error *err)
{
    struct counting c = {0};
    SC_AUTO_BUF struct sc_buf prefix;
    sc_buf_init(&prefix, 0);
    enum sc_rc rc = SC_OK;
    static const char *const areas[] = {"cas", "tree", "pack"};
    for (size_t i = 0; i < SC_COUNT(areas) && rc == SC_OK; i++) {
        sc_buf_clear(&prefix);
        sc_buf_printf(&prefix, "v1/" SC_SLICE_FMT "/%s/", SC_SLICE_ARG(queries->config.domain), areas[i]);
        rc = query_each_page(queries, sc_buf_slice(&prefix), count_objects, &c, err);
    }
    struct query_records records = {.queries = queries, .visit = count_record, .context = &c, .sample = 1};
    if (rc == SC_OK)
        rc = query_each_record(&records, err);
    if (rc != SC_OK)
        return rc;
    json_t *rows = json_array(), *row = json_object();
    json_object_set_new(row, "store", json_string(sc_store_url(queries->store)));
    json_object_set_new(row, "domain", query_text(queries->config.domain));
    set(row, "objects", c.objects);
    set(row, "bytes", c.bytes);
    set(row, "records", c.records);
    set(row, "named_bytes", c.named_bytes);
    json_object_set_new(row, "dedup_ratio", ratio(c.named_bytes, c.bytes));
    run_sums(queries, row);
    prices(queries, c.bytes, row);
    json_array_append_new(rows, row);
    query_send_rows(queries, job, rows);
    json_decref(rows);
    return SC_OK;
}
