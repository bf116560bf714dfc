// stepctl key: the labelled fields of a step's key, with all that is needed to compute it by hand: SHA-256 over
// ["stepcache.key/1", [[label, value] …]] in canonical MessagePack. Of a run's step: from the record. Of a document's step
// as it is now: from the record if it is a hit; else built here, with the environment of an earlier result of the same
// run of verdicts, and believed only when it has the digest that the coordinator told.
#include "base/limits.h"
#include "base/memory.h"
#include "stepctl/command.h"
#include "stepctl/key_known.h"
#include "stepctl/look.h"
#include "stepctl/prepare.h"
#include "stepctl/rows.h"
#include "stepctl/say.h"
#include "stepctl/text.h"

#include <unistd.h>

enum { VALUE_BYTES = 4096 };

struct printer {
    struct sc_out out;
    bool json;
};

static void print_hex(struct sc_buf *out, struct sc_slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.len; i++) {
        sc_buf_add_byte(out, (uint8_t)digits[bytes.ptr[i] >> 4]);
        sc_buf_add_byte(out, (uint8_t)digits[bytes.ptr[i] & 15]);
    }
}

static void print_field(struct printer *printer, struct sc_slice label, struct sc_slice value)
{
    struct sc_buf *out = &printer->out.buf;
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_key_value_print(value, printer->json ? SC_LIMIT_VALUE_BYTES : VALUE_BYTES, &text);
    if (printer->json) {
        sc_buf_add_str(out, "{\"label\":");
        sc_text_json(out, label);
        sc_buf_add_str(out, ",\"value\":");
        sc_text_json(out, sc_buf_slice(&text));
        sc_buf_add_str(out, ",\"msgpack\":\"");
        print_hex(out, value);
        sc_buf_add_str(out, "\"}\n");
    } else {
        uint32_t used = sc_text_fit(out, label, 60, false);
        sc_text_pad(out, used < 24 ? 24 - used : 1);
        sc_text_escape(out, sc_buf_slice(&text));
        sc_buf_add_byte(out, '\n');
    }
    sc_out_maybe_flush(&printer->out);
}

static void print_key(struct printer *printer, struct sc_slice step, const struct sc_digest *key)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(key, hex);
    if (printer->json) {
        sc_buf_add_str(&printer->out.buf, "{\"step\":");
        sc_text_json(&printer->out.buf, step);
        sc_buf_printf(&printer->out.buf, ",\"key\":\"%s\",\"schema\":\"stepcache.key/1\"}\n", hex);
        return;
    }
    sc_buf_printf(&printer->out.buf, "key %s of ", hex);
    sc_text_escape(&printer->out.buf, step);
    sc_buf_add_byte(&printer->out.buf, '\n');
}

static void print_record(struct printer *printer, struct sc_look *look, const struct sc_record *record,
                         struct sc_slice step)
{
    print_key(printer, step, &record->key);
    for (uint32_t i = 0; i < record->fields.count; i++) {
        const struct sc_record_field *field = &record->fields.items[i];
        print_field(printer, field->label, sc_look_value(look, field->label, field->value));
    }
}

// ---- of a run's step

static enum sc_rc of_run(struct printer *printer, const struct sc_options *options, struct sc_error *err)
{
    struct sc_client client;
    struct sc_rows rows = {0};
    struct sc_look look = {.store = NULL};
    struct sc_record record;
    struct sc_digest key;
    struct sc_slice step = sc_slice_str(options->args[1]);
    struct sc_message message = {.type = SC_MESSAGE_EXPLAIN,
                                 .body.explain = {.run = sc_slice_str(options->args[0]), .step = step}};
    enum sc_rc rc = sc_client_open(&client, options, false, err);
    if (rc == SC_OK)
        rc = sc_rows_ask(&client, &message, NULL, &rows, err);
    if (rc == SC_OK &&
        !sc_digest_parse(sc_slice_str(sc_row_text(json_array_get(rows.items, 0), "key")), &key))
        rc = sc_error_set(err, SC_NOT_FOUND,
                          "step %s has no key in that run: it did not come so far, or its cache is off",
                          options->args[1]);
    if (rc == SC_OK)
        rc = sc_look_open(&look, &client, options, err);
    if (rc == SC_OK) {
        rc = sc_look_record(&look, &key, &record, err);
        if (rc == SC_OK)
            print_record(printer, &look, &record, step);
        else if (rc == SC_NOT_FOUND) {
            print_key(printer, step, &key);
            sc_error_set(err, rc, "its fields are not kept: step %s left no result", options->args[1]);
            sc_error_hint(err, "`stepctl key FILE %s` tells those of the document as it is now",
                          options->args[1]);
        }
    }
    sc_look_done(&look);
    sc_rows_done(&rows);
    sc_client_done(&client);
    return rc;
}

// ---- of a document's step

static enum sc_rc ask_verdicts(struct sc_client *client, const struct sc_prepared *prepared,
                               struct sc_known *known, struct sc_error *err)
{
    struct sc_message message = {.type = SC_MESSAGE_SUBMIT};
    message.body.submit.plan = prepared->digest;
    message.body.submit.options.dry = true;
    message.body.submit.watch = true;
    const struct sc_answer answer = {.event = sc_known_take, .context = known};
    return sc_client_ask(client, &message, &answer, err);
}

// The key that the step had in the newest run, whose result may show the environment.
static void ask_earlier(struct sc_client *client, struct sc_slice step, struct sc_known *known)
{
    struct sc_rows rows = {0};
    struct sc_error ignored = SC_ERROR_INIT;
    struct sc_message message = {.type = SC_MESSAGE_EXPLAIN,
                                 .body.explain = {.run = SC_SLICE_LIT("latest"), .step = step}};
    if (sc_rows_ask(client, &message, NULL, &rows, &ignored) != SC_OK ||
        !sc_digest_parse(sc_slice_str(sc_row_text(json_array_get(rows.items, 0), "key")), &known->earlier))
        known->earlier = (struct sc_digest){{0}};
    sc_rows_done(&rows);
}

static void print_known(struct printer *printer, struct sc_known *known, struct sc_slice name, uint32_t step,
                        uint32_t instance)
{
    struct sc_key key;
    sc_key_init(&key);
    struct sc_known_missing missing = sc_known_build(known, step, instance, &key);
    if (missing.inputs.len == 0 && !missing.environment)
        print_key(printer, name, &key.digest);
    else if (!printer->json)
        sc_buf_printf(&printer->out.buf, "the key of " SC_SLICE_FMT " is not known yet\n",
                      SC_SLICE_ARG(name));
    struct sc_mp_reader reader = sc_key_fields_begin(sc_buf_slice(&key.encoding));
    struct sc_key_field field;
    while (key.encoding.len && sc_key_fields_next(&reader, &field)) {
        bool unknown = (missing.environment && sc_slice_starts(field.label, "environment.")) ||
                       sc_known_is_missing(&missing, field.label);
        if (!unknown)
            print_field(printer, field.label, field.value);
    }
    sc_out_flush(&printer->out);
    if (missing.inputs.len)
        sc_say("not known before what makes them has run: " SC_SLICE_FMT, SC_SLICE_ARG(missing.inputs));
    if (missing.environment)
        sc_say("environment.*: what the agent tells; no earlier result shows it");
    sc_key_done(&key);
}

static enum sc_rc of_document(struct printer *printer, const struct sc_options *options, struct sc_error *err)
{
    struct sc_client client;
    struct sc_upload upload = {.client = NULL};
    struct sc_prepared prepared = {0};
    struct sc_look look = {.store = NULL};
    struct sc_known known = {.look = NULL};
    uint32_t step = 0, instance = 0;
    bool all = false;
    struct sc_slice name = sc_slice_str(options->args[1]);
    enum sc_rc rc = sc_client_open(&client, options, true, err);
    if (rc == SC_OK)
        rc = sc_upload_open(&upload, &client.places, client.endpoint ? &client : NULL, err);
    if (rc == SC_OK)
        rc = sc_prepare(options->args[0], options, SC_PREPARE_PLAN, &upload, &prepared, err);
    sc_upload_done(&upload);
    if (rc == SC_OK)
        rc = sc_prepare_step(prepared.plan, name, "key", err);
    if (rc == SC_OK && sc_plan_find(prepared.plan, name, &step, &instance, &all) && all) {
        SC_AUTO_BUF struct sc_buf first;
        sc_buf_init(&first, 0);
        sc_plan_instance_name(&prepared.plan->steps.items[step], 0, &first);
        rc = sc_error_set(err, SC_AMBIGUOUS, "step " SC_SLICE_FMT " has %u instances", SC_SLICE_ARG(name),
                          sc_plan_instances(&prepared.plan->steps.items[step]));
        sc_error_hint(err, "name one of them: '%s'", sc_buf_cstr(&first));
    }
    if (rc == SC_OK)
        rc = sc_look_open(&look, &client, options, err);
    sc_known_init(&known, &look, prepared.plan);
    if (rc == SC_OK)
        rc = ask_verdicts(&client, &prepared, &known, err);
    struct sc_record record;
    if (rc == SC_OK && sc_known_record(&known, name, &record))
        print_record(printer, &look, &record, name);
    else if (rc == SC_OK) {
        ask_earlier(&client, name, &known);
        print_known(printer, &known, name, step, instance);
    }
    sc_known_done(&known);
    sc_look_done(&look);
    sc_prepared_done(&prepared);
    sc_client_done(&client);
    return rc;
}

int sc_command_key(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    struct printer printer = {.json = options->json};
    sc_out_init(&printer.out, STDOUT_FILENO);
    bool document = access(options->args[0], F_OK) == 0;
    enum sc_rc rc = document ? of_document(&printer, options, &err) : of_run(&printer, options, &err);
    sc_out_done(&printer.out);
    return rc == SC_OK ? 0 : sc_say_error(options->json, &err);
}
