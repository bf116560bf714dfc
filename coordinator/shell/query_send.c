// What the query thread sends: messages, rows in pages, the end; and the JSON that rows are made of.
#include "coordinator/shell/query_parts.h"

#include "base/memory.h"
#include "coordinator/shell/copy.h"

enum { PAGE_ROWS = 1000, PAGE_BYTES = 384 << 10 };

void query_send(struct sc_queries *queries, const struct sc_job *job, const struct sc_message *message)
{
    struct sc_job *answer = sc_job_new(SC_JOB_ANSWER);
    answer->client = job->client;
    answer->u.answer.message = *message;
    answer->u.answer.message.id = job->client_req;
    sc_copy_struct(sc_message_schema(message->type), &message->body, &answer->arena,
                   &answer->u.answer.message.body);
    sc_mailbox_send(queries->config.answers, answer);
}

static void send_page(struct sc_queries *queries, const struct sc_job *job, struct sc_slice *rows,
                      uint32_t count, bool last)
{
    struct sc_message message = {.type = SC_MESSAGE_PAGE};
    message.body.page.rows = (sc_text_list){rows, count};
    message.body.page.last = last;
    query_send(queries, job, &message);
}

void query_send_rows(struct sc_queries *queries, const struct sc_job *job, const json_t *rows)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *page = SC_NEW_ARRAY(&arena, PAGE_ROWS, struct sc_slice);
    uint32_t count = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        char *text = json_dumps(json_array_get(rows, i), JSON_COMPACT);
        if (!text)
            continue;
        page[count] = sc_arena_copy(&arena, sc_slice_str(text));
        free(text);
        bytes += page[count++].len + 8;
        if (count == PAGE_ROWS || bytes > PAGE_BYTES) {
            send_page(queries, job, page, count, false);
            count = 0;
            bytes = 0;
        }
    }
    send_page(queries, job, page, count, true);
}

static enum sc_end_state state_of(struct sc_slice name)
{
    for (enum sc_end_state state = SC_END_DONE; state <= SC_END_SKIPPED; state++)
        if (sc_slice_eq_str(name, sc_end_state_name(state)))
            return state;
    return SC_END_NONE;
}

void query_send_done(struct sc_queries *queries, const struct sc_job *job, const struct query_run *run)
{
    struct sc_message message = {.type = SC_MESSAGE_DONE};
    if (run)
        message.body.done = (struct sc_msg_done){.state = state_of(run->state), .run = run->run};
    query_send(queries, job, &message);
}

json_t *query_text(struct sc_slice text)
{
    json_t *json = json_stringn(text.len ? (const char *)text.ptr : "", text.len);
    if (json)
        return json;
    SC_AUTO_BUF struct sc_buf plain; // not UTF-8
    sc_buf_init(&plain, 0);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= 0x20 && text.ptr[i] < 0x7f)
            sc_buf_add_byte(&plain, text.ptr[i]);
        else
            sc_buf_printf(&plain, "\\x%02x", text.ptr[i]);
    return json_stringn((const char *)plain.ptr, plain.len);
}

json_t *query_hex(const struct sc_digest *digest)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    return json_string(hex);
}
