// How long a document of N steps takes to read, check and plan, against a bare libfyaml event pass over the same text
// in the same process; what the plan takes in memory, and what its encoding and its keys cost. CPU time, not wall time.
//
//     document_bench [steps] [rounds]
#include "pipeline/document.h"
#include "pipeline/key.h"

#include "base/memory.h"

#include <libfyaml.h>
#include <stdio.h>
#include <time.h>

enum { LAYER = 100 };

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// Layers of 100; a step takes two outputs of the layer before.
static void add_step(struct sc_buf *out, uint32_t i)
{
    sc_buf_printf(
        out, "  s%u:\n    run: ./work \"${inputs.a}\" \"${inputs.b}\" > \"${outputs.o}\"\n    inputs:\n", i);
    if (i < LAYER) {
        sc_buf_printf(out, "      a: sources.raw\n      b: sources.raw\n");
    } else {
        uint32_t layer = (i / LAYER - 1) * LAYER;
        sc_buf_printf(out, "      a: s%u.o\n      b: s%u.o\n", layer + i % LAYER, layer + (i + 1) % LAYER);
    }
    sc_buf_printf(out, "    outputs:\n      o: out.txt\n    env:\n      LEVEL: \"%u\"\n", i / LAYER);
}

static void event_pass(struct sc_slice text)
{
    const struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE | FYPCF_DEFAULT_VERSION_1_2};
    struct fy_parser *parser = fy_parser_create(&cfg);
    SC_ASSERT(fy_parser_set_string(parser, (const char *)text.ptr, text.len) == 0);
    for (struct fy_event *event; (event = fy_parser_parse(parser)) != NULL;)
        fy_parser_event_free(parser, event);
    SC_ASSERT(!fy_parser_get_stream_error(parser));
    fy_parser_destroy(parser);
}

static void measure_codec(const struct sc_plan *plan, uint32_t steps)
{
    SC_AUTO_BUF struct sc_buf bytes = {0};
    SC_AUTO_ARENA struct sc_arena arena = {0};
    struct sc_plan *decoded = NULL;
    struct sc_error err = SC_ERROR_INIT;
    double start = cpu_seconds();
    sc_plan_encode(plan, &bytes);
    double encoded = cpu_seconds();
    SC_ASSERT(sc_plan_decode(sc_buf_slice(&bytes), &arena, &decoded, &err) == SC_OK);
    double done = cpu_seconds();
    printf("encode  %.2f us a step, %.0f bytes\n", (encoded - start) / steps * 1e6,
           (double)bytes.len / steps);
    printf("decode  %.2f us a step with its check; %.0f bytes of memory a step, %.0f with the encoding\n",
           (done - encoded) / steps * 1e6, (double)arena.total_bytes / steps,
           (double)(arena.total_bytes + bytes.len) / steps);
    start = cpu_seconds();
    struct sc_digest shape = sc_plan_template(decoded);
    SC_ASSERT(!sc_digest_is_zero(&shape));
    printf("template %.2f us a step\n", (cpu_seconds() - start) / steps * 1e6);
}

static void measure_keys(const struct sc_plan *plan, uint32_t steps)
{
    struct sc_key key;
    struct sc_key_input inputs[2] = {{.digest = {{1}}, .ext = SC_SLICE_LIT(".txt")},
                                     {.digest = {{2}}, .ext = SC_SLICE_LIT(".txt")}};
    struct sc_slice text = SC_SLICE_LIT("\xb1/usr/bin:/bin text");
    struct sc_environment_part parts[] = {{SC_SLICE_LIT("arch"), text}, {SC_SLICE_LIT("libc"), text},
                                          {SC_SLICE_LIT("os"), text},   {SC_SLICE_LIT("packages"), text},
                                          {SC_SLICE_LIT("path"), text}, {SC_SLICE_LIT("python"), text}};
    struct sc_environment environment = {.parts = {parts, SC_COUNT(parts)}};
    sc_key_init(&key);
    double start = cpu_seconds();
    for (uint32_t i = 0; i < steps; i++)
        sc_key_build(&key, &plan->steps.items[i], 0, inputs, &environment);
    printf("key     %.2f us a step, %zu bytes hashed\n", (cpu_seconds() - start) / steps * 1e6,
           key.encoding.len);
    sc_key_done(&key);
}

int main(int argc, char **argv)
{
    uint32_t steps = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
    uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 3;
    SC_AUTO_BUF struct sc_buf text = {0};
    sc_buf_printf(&text, "stepcache: 1\nname: bench\nsources:\n  raw: ./raw.txt\nsteps:\n");
    for (uint32_t i = 0; i < steps; i++)
        add_step(&text, i);
    struct sc_slice document = sc_buf_slice(&text);
    printf("%u steps, %zu bytes of document\n", steps, document.len);
    double best_bare = 1e9, best_compile = 1e9;
    for (uint32_t round = 0; round < rounds; round++) {
        SC_AUTO_ARENA struct sc_arena arena = {0};
        struct sc_plan *plan = NULL;
        struct sc_diagnostics diagnostics;
        double start = cpu_seconds();
        event_pass(document);
        double bare = cpu_seconds() - start;
        start = cpu_seconds();
        enum sc_rc rc = sc_document_compile(document, NULL, 0, &arena, &plan, &diagnostics);
        double compile = cpu_seconds() - start;
        if (rc != SC_OK) {
            printf("%u:%u: " SC_SLICE_FMT "\n", diagnostics.items[0].line, diagnostics.items[0].column,
                   SC_SLICE_ARG(diagnostics.items[0].message));
            return 1;
        }
        best_bare = bare < best_bare ? bare : best_bare;
        best_compile = compile < best_compile ? compile : best_compile;
        if (round + 1 < rounds)
            continue;
        printf("bare event pass %.3f s, compile %.3f s: ratio %.2f (at most 2.5)\n", best_bare, best_compile,
               best_compile / best_bare);
        printf("compile %.2f us a step, plan %.0f bytes a step\n", best_compile / steps * 1e6,
               (double)arena.total_bytes / steps);
        measure_codec(plan, steps);
        measure_keys(plan, steps);
    }
    return 0;
}
