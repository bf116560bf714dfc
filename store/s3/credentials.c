#include "store/s3/credentials.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/log.h"
#include "store/s3/credentials_chain.h"

enum {
    RENEW_MS = 5 * 60 * 1000,   // before they run out
    RENEW_AGAIN_MS = 60 * 1000, // no sooner after they came, however short they live
    FRESH_MS = 10 * 1000,       // so long after they came, a refusal is of those before
    PAUSE_MS = 5 * 1000,        // after a failure
    PAUSE_HELD_MS = 30 * 1000,  // after a failure while the old ones hold
};

struct sc_s3_provider {
    char *profile, *region;
    bool anonymous;
    struct sc_s3_patience patience;
    struct sc_s3_found held; // access_key.len == 0: none
    bool refused;            // by the server
    int source;              // that gave held; SC_S3_ANY_SOURCE: none did yet
    char *words;             // the source in words
    int64_t asked_ms;        // the last question
    int64_t next_ms;         // no question before
    struct sc_error last;    // the failure of the last question; SC_OK: it went well
};

static void show_time(int64_t wall_ms, char ret_text[32])
{
    sc_clock_rfc3339(wall_ms, ret_text);
    memcpy(ret_text + strlen("2026-01-02T03:04:05"), "Z", 2);
}

static enum sc_rc check_not_over(struct sc_s3_chain_end *end, int64_t wall_ms, struct sc_error *err)
{
    if (end->found.expires_ms == 0 || end->found.expires_ms > wall_ms)
        return SC_OK;
    char until[32], now[32];
    show_time(end->found.expires_ms, until);
    show_time(wall_ms, now);
    return sc_error_set(
        err, SC_DENIED,
        "no credentials for S3: %s: those that it gives ran out at %s (it is %s by our clock)",
        sc_buf_cstr(&end->words), until, now);
}

static bool holds(const struct sc_s3_provider *p, int64_t wall_ms)
{
    return p->held.access_key.len && !p->refused && (p->held.expires_ms == 0 || wall_ms < p->held.expires_ms);
}

static void take_over(struct sc_s3_provider *p, struct sc_s3_chain_end *end, int64_t wall_ms)
{
    sc_s3_found_done(&p->held);
    p->held = end->found;
    end->found = (struct sc_s3_found){0};
    free(p->words);
    p->words = sc_strdup(sc_buf_cstr(&end->words));
    p->source = end->source;
    p->refused = false;
    int64_t left = p->held.expires_ms - wall_ms, soonest = left / 2;
    if (soonest > RENEW_AGAIN_MS)
        soonest = RENEW_AGAIN_MS;
    p->next_ms = p->held.expires_ms == 0 ? INT64_MAX
                                         : wall_ms + (left - RENEW_MS > soonest ? left - RENEW_MS : soonest);
}

static void put_off(struct sc_s3_provider *p, int64_t wall_ms)
{
    bool held = holds(p, wall_ms);
    p->next_ms = wall_ms + (held ? PAUSE_HELD_MS : PAUSE_MS);
    if (!held)
        return;
    char until[32] = "further notice";
    if (p->held.expires_ms)
        show_time(p->held.expires_ms, until);
    if (p->held.expires_ms && p->next_ms > p->held.expires_ms)
        p->next_ms = p->held.expires_ms;
    sc_log(SC_LOG_WARN,
           "credentials for S3 could not be renewed; ignoring it, since those of %s hold until %s: %s",
           p->words, until, p->last.message);
}

static void ask(struct sc_s3_provider *p, int64_t wall_ms)
{
    struct sc_s3_chain chain = {.profile = p->profile,
                                .region = p->region,
                                .patience = p->patience,
                                .wall_ms = wall_ms,
                                .source = p->source};
    struct sc_s3_chain_end end;
    p->last = (struct sc_error)SC_ERROR_INIT;
    p->asked_ms = wall_ms;
    enum sc_rc rc = sc_s3_chain_walk(&chain, &end, &p->last);
    if (rc == SC_OK)
        rc = check_not_over(&end, wall_ms, &p->last);
    if (rc == SC_OK)
        take_over(p, &end, wall_ms);
    else
        put_off(p, wall_ms);
    sc_s3_chain_end_done(&end);
}

struct sc_s3_provider *sc_s3_provider_new(const struct sc_s3_provider_config *config)
{
    struct sc_s3_provider *p = sc_calloc(1, sizeof *p);
    *p = (struct sc_s3_provider){
        .anonymous = config->anonymous, .patience = SC_S3_PATIENCE, .source = SC_S3_ANY_SOURCE};
    p->profile = config->profile && *config->profile ? sc_strdup(config->profile) : NULL;
    p->region = config->region && *config->region ? sc_strdup(config->region) : NULL;
    return p;
}

void sc_s3_provider_free(struct sc_s3_provider *p)
{
    if (!p)
        return;
    sc_s3_found_done(&p->held);
    free(p->words);
    free(p->profile);
    free(p->region);
    free(p);
}

void sc_s3_provider_set_patience(struct sc_s3_provider *p, struct sc_s3_patience patience)
{
    p->patience = patience;
}

enum sc_rc sc_s3_provider_get(struct sc_s3_provider *p, int64_t wall_ms, bool refresh,
                              struct sc_s3_credentials *ret, struct sc_error *err)
{
    if (p->anonymous) {
        *ret = (struct sc_s3_credentials){.anonymous = true};
        return SC_OK;
    }
    bool back = wall_ms < p->asked_ms; // the clock was set: what it said before counts for nothing
    bool fresh = p->last.rc == SC_OK && !back && wall_ms - p->asked_ms < FRESH_MS;
    if (refresh && p->held.access_key.len && !fresh && !p->refused) {
        p->refused = true;
        p->next_ms = p->last.rc == SC_OK ? INT64_MIN : p->asked_ms + PAUSE_MS;
    }
    if (wall_ms >= p->next_ms || back)
        ask(p, wall_ms);
    if (!holds(p, wall_ms)) {
        SC_ASSERT(p->last.rc != SC_OK);
        if (err)
            *err = p->last;
        return p->last.rc;
    }
    *ret = (struct sc_s3_credentials){.access_key = p->held.access_key,
                                      .secret = p->held.secret,
                                      .token = p->held.token,
                                      .expires_ms = p->held.expires_ms};
    return SC_OK;
}

void sc_s3_provider_describe(const struct sc_s3_provider *p, struct sc_buf *ret_text)
{
    char until[32];
    if (p->anonymous) {
        sc_buf_add_str(ret_text, "none: requests are anonymous");
    } else if (p->held.access_key.len) {
        sc_buf_add_str(ret_text, p->words);
        if (p->held.expires_ms) {
            show_time(p->held.expires_ms, until);
            sc_buf_printf(ret_text, ", until %s", until);
        }
    } else {
        sc_buf_add_str(ret_text, p->last.rc == SC_OK ? "not looked for yet" : p->last.message);
    }
}
