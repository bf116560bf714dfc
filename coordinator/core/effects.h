// What the core lets out: effects, requests under way, facts, trace lines, messages.
#pragma once

#include "coordinator/core/state.h"

struct sc_effect *core_effect(struct sc_core *core, enum sc_effect_kind kind);
struct sc_effect *core_request(struct sc_core *core, enum sc_effect_kind kind, enum request_kind request,
                               struct request **ret_request);
struct request *core_find_request(struct sc_core *core, uint64_t req);
void core_free_request(struct request *request);
// Appends a fact; returns its seq.
uint64_t core_journal(struct sc_core *core, const struct sc_fact *fact, bool lazy);
void core_trace(struct sc_core *core, const char *format, ...) __attribute__((format(printf, 2, 3)));
void core_reply_error(struct sc_core *core, const struct sc_event *event, enum sc_rc rc, const char *format,
                      ...) __attribute__((format(printf, 4, 5)));
void core_reply(struct sc_core *core, uint64_t client, uint64_t client_req, enum sc_message_type type,
                uint64_t after_seq, const void *body, size_t size);
struct sc_message *core_message(struct sc_core *core, enum sc_message_type type);
void core_send_agent(struct sc_core *core, const struct agent *agent, struct sc_message *message,
                     uint64_t after_seq);
