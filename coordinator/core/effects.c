#include "coordinator/core/effects.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

uint32_t sc_effects_count(const struct sc_effects *effects)
{
    return effects->count;
}

const struct sc_effect *sc_effects_at(const struct sc_effects *effects, uint32_t index)
{
    SC_ASSERT(index < effects->count);
    return &effects->items[index];
}

struct sc_effect *core_effect(struct sc_core *core, enum sc_effect_kind kind)
{
    struct sc_effects *effects = &core->effects;
    if (effects->count == effects->room) {
        effects->room = effects->room ? effects->room * 2 : 64;
        effects->items = sc_realloc(effects->items, effects->room, sizeof *effects->items);
    }
    struct sc_effect *effect = &effects->items[effects->count++];
    *effect = (struct sc_effect){.kind = kind};
    return effect;
}

struct sc_effect *core_request(struct sc_core *core, enum sc_effect_kind kind, enum request_kind request_kind,
                               struct request **ret_request)
{
    struct request *request = sc_calloc(1, sizeof *request);
    request->req = ++core->next_req;
    request->kind = request_kind;
    HASH_ADD(hh, core->requests, req, sizeof request->req, request);
    struct sc_effect *effect = core_effect(core, kind);
    effect->req = request->req;
    *ret_request = request;
    return effect;
}

struct request *core_find_request(struct sc_core *core, uint64_t req)
{
    struct request *request;
    HASH_FIND(hh, core->requests, &req, sizeof req, request);
    return request;
}

void core_free_request(struct request *request)
{
    free(request->steps);
    free(request->objects);
    free((void *)request->agent.ptr);
    free(request);
}

uint64_t core_journal(struct sc_core *core, const struct sc_fact *fact, bool lazy)
{
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_encode(&sc_schema_fact, fact, &buf);
    struct sc_effect *effect = core_effect(core, SC_EFFECT_JOURNAL);
    effect->u.journal.seq = ++core->last_seq;
    effect->u.journal.fact = sc_arena_copy(&core->effects.arena, sc_buf_slice(&buf));
    effect->u.journal.lazy = lazy;
    if (fact->kind == SC_FACT_CLASS) {
        char need[SC_DIGEST_HEX_BYTES];
        sc_digest_hex(&fact->need, need);
        effect->u.journal.slot =
            sc_arena_printf(&core->effects.arena, "class/%s/" SC_SLICE_FMT, need, SC_SLICE_ARG(fact->agent));
    }
    return core->last_seq;
}

void core_trace(struct sc_core *core, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    size_t used = len < 0 ? 0 : (size_t)len < sizeof line ? (size_t)len : sizeof line - 1;
    core_effect(core, SC_EFFECT_TRACE)->u.trace = sc_arena_copy(&core->effects.arena, sc_slice(line, used));
}

struct sc_message *core_message(struct sc_core *core, enum sc_message_type type)
{
    struct sc_message *message = SC_NEW(&core->effects.arena, struct sc_message);
    message->type = type;
    return message;
}

static void reply(struct sc_core *core, uint64_t client, uint64_t client_req, uint64_t after_seq,
                  struct sc_message *message)
{
    message->id = client_req;
    struct sc_effect *effect = core_effect(core, SC_EFFECT_REPLY);
    effect->after_seq = after_seq;
    effect->u.reply.client = client;
    effect->u.reply.client_req = client_req;
    effect->u.reply.message = message;
}

void core_reply(struct sc_core *core, uint64_t client, uint64_t client_req, enum sc_message_type type,
                uint64_t after_seq, const void *body, size_t size)
{
    struct sc_message *message = core_message(core, type);
    SC_ASSERT(size <= sizeof message->body);
    memcpy(&message->body, body, size);
    reply(core, client, client_req, after_seq, message);
}

void core_reply_error(struct sc_core *core, const struct sc_event *event, enum sc_rc rc, const char *format,
                      ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct sc_message *message = core_message(core, SC_MESSAGE_ERROR);
    message->body.error = (struct sc_msg_error){
        .code = sc_slice_str(sc_rc_name(rc)),
        .message = sc_arena_copy(&core->effects.arena, sc_slice_str(text)),
        .rc = (uint32_t)-rc,
    };
    reply(core, event->client, event->client_req, 0, message);
}

void core_send_agent(struct sc_core *core, const struct agent *agent, struct sc_message *message,
                     uint64_t after_seq)
{
    if (!agent->number)
        return; // its connection is gone; what it missed is settled by its next hello
    struct sc_effect *effect = core_effect(core, SC_EFFECT_SEND_AGENT);
    effect->after_seq = after_seq;
    effect->u.send_agent.agent = agent->number;
    effect->u.send_agent.message = message;
}
