// The document's compiler: each mistake with its place and its hint, each construct that is not built refused by name,
// each limit named, and what good documents become (tests/golden/document, rewritten by STEPCACHE_GOLDEN=write).
#include "tests/lib/test.h"

#include "pipeline/document.h"
#include "pipeline/key.h"

#include "base/limits.h"
#include "base/os/file.h"

#include <stdio.h>

struct compiled {
    struct sc_arena arena;
    struct sc_plan *plan;
    struct sc_diagnostics diagnostics;
    enum sc_rc rc;
};

static int setup(void **state)
{
    *state = sc_calloc(1, sizeof(struct compiled));
    return 0;
}

static int teardown(void **state)
{
    struct compiled *c = *state;
    sc_arena_done(&c->arena);
    free(c);
    return 0;
}

static void compile_with(struct compiled *c, struct sc_slice text, const struct sc_param_override *params,
                         uint32_t count)
{
    sc_arena_done(&c->arena);
    *c = (struct compiled){0};
    c->rc = sc_document_compile(text, params, count, &c->arena, &c->plan, &c->diagnostics);
    assert_int_equal(c->rc == SC_OK, c->diagnostics.count == 0);
}

static void compile(struct compiled *c, const char *text)
{
    compile_with(c, sc_slice_str(text), NULL, 0);
}

static void compile_good(struct compiled *c, const char *text)
{
    compile(c, text);
    if (c->rc != SC_OK)
        fail_msg("%u:%u: " SC_SLICE_FMT "\n%s", c->diagnostics.items[0].line, c->diagnostics.items[0].column,
                 SC_SLICE_ARG(c->diagnostics.items[0].message), text);
}

static const struct sc_plan_step *step_of(const struct compiled *c, const char *name)
{
    uint32_t step, instance;
    bool all;
    if (!sc_plan_find(c->plan, sc_slice_str(name), &step, &instance, &all))
        fail_msg("no step %s", name);
    return &c->plan->steps.items[step];
}

// "line:column rc: message | hint", a line each.
static void print_diagnostics(const struct sc_diagnostics *d, struct sc_buf *out)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct sc_diagnostic *item = &d->items[i];
        sc_buf_printf(out, "%u:%u %s: " SC_SLICE_FMT "%s" SC_SLICE_FMT "\n", item->line, item->column,
                      sc_rc_name(item->rc), SC_SLICE_ARG(item->message), item->hint.len ? " | " : "",
                      SC_SLICE_ARG(item->hint));
    }
    if (d->more)
        sc_buf_add_str(out, "and more\n");
}

#define HEAD "stepcache: 1\nname: x\n"

// A document that is wrong, and the beginnings of all it is told, in order: parts[0] "line:column rc: text".
struct mistake {
    const char *text;
    const char *expected[6];
};

static void check_mistakes(struct compiled *c, const struct mistake *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        SC_AUTO_BUF struct sc_buf told = {0};
        compile(c, cases[i].text);
        print_diagnostics(&c->diagnostics, &told);
        const char *at = sc_buf_cstr(&told);
        for (size_t k = 0; k < SC_COUNT(cases[i].expected) && cases[i].expected[k]; k++) {
            size_t n = strlen(cases[i].expected[k]);
            if (strncmp(at, cases[i].expected[k], n) != 0)
                fail_msg("of\n%s\nexpected %s\ntold     %s", cases[i].text, cases[i].expected[k], at);
            at = strchr(at, '\n');
            assert_non_null(at);
            at++;
        }
        if (*at)
            fail_msg("of\n%s\nalso told %s", cases[i].text, at);
    }
}

static void test_unknown_keys_suggest_the_nearest(void **state)
{
    static const struct mistake cases[] = {
        {HEAD "steps: {a: {rum: ls, command: [x]}}\n",
         {"3:13 document: unknown key \"rum\" in a step | did you mean `run`?"}},
        {HEAD "steps: {a: {run: ls}}\nouptuts: {}\n",
         {"4:1 document: unknown key \"ouptuts\" in the document | did you mean `outputs`?"}},
        {HEAD "steps: {a: {run: ls, cache: {expire-after: P1D}}}\n",
         {"3:30 document: unknown key \"expire-after\" in cache | did you mean `expire_after`?"}},
        {HEAD "steps: {a: {run: ls, resources: {cpu: 1}}}\n",
         {"3:34 document: unknown key \"cpu\" in resources | did you mean `cpus`?"}},
        {HEAD "steps: {a: {run: ls, retry: {max_attempt: 1}}}\n",
         {"3:30 document: unknown key \"max_attempt\" in retry | did you mean `max_attempts`?"}},
        {HEAD "steps: {a: {run: ls, key: {slat: 1}}}\n",
         {"3:28 document: unknown key \"slat\" in key | did you mean `salt`?"}},
        {HEAD "sources: {s: {url: ./x}}\nsteps: {a: {run: ls}}\n",
         {"3:14 document: a source needs `uri`",
          "3:15 document: unknown key \"url\" in a source | did you mean `uri`?"}},
        {HEAD "environment: {prob: [x]}\nsteps: {a: {run: ls}}\n",
         {"3:15 document: unknown key \"prob\" in environment | did you mean `probe`?"}},
        {HEAD "steps: {a: {run: ls, zzzzzz: 1}}\n", {"3:22 document: unknown key \"zzzzzz\" in a step\n"}},
        {HEAD "defaults: {cash: {}}\nsteps: {a: {run: ls}}\n",
         {"3:12 document: unknown key \"cash\" in defaults | did you mean `cache`?"}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_what_is_not_built_is_refused_by_name_with_what_to_do(void **state)
{
    static const struct mistake cases[] = {
        {HEAD "sources: {s: 's3://b/k'}\nsteps: {a: {run: ls}}\n",
         {"3:14 unsupported: s3:// sources are not supported yet | "}},
        {HEAD "sources: {s: {uri: 's3://b/k?versionId=1', identity: version}}\nsteps: {a: {run: ls}}\n",
         {"3:20 unsupported: s3://", "3:54 unsupported: identity: version is not supported yet | "}},
        {HEAD "sources: {s: 'gs://b/k'}\nsteps: {a: {run: ls}}\n",
         {"3:14 unsupported: gs:// sources are not supported | "}},
        {HEAD "environment: {lock: r.lock}\nsteps: {a: {run: ls}}\n",
         {"3:15 unsupported: `lock` is not supported yet | "}},
        {HEAD "steps: {a: {run: ls, environment: {image: 'n@sha256:0'}}}\n",
         {"3:36 unsupported: `image` is not supported yet | "}},
        {HEAD "secrets: {S: {version: '1'}}\nsteps: {a: {run: ls}}\n",
         {"3:1 unsupported: `secrets` is not supported yet | "}},
        {HEAD "steps: {a: {run: ls, when: true}}\n", {"3:22 unsupported: `when` is not supported yet | "}},
        {HEAD "steps: {a: {run: ls, foreach: {x: [1]}, parallel: 2}}\n",
         {"3:22 unsupported: `foreach` is not supported yet | ",
          "3:41 unsupported: `parallel` is not supported yet | "}},
        {HEAD "steps: {a: {uses: o.yaml, with: {}, run: ls}}\n",
         {"3:13 unsupported: `uses` is not supported yet | ",
          "3:27 unsupported: `with` is not supported yet | "}},
        {HEAD "steps: {a: {run: ls, priority: 1}}\n",
         {"3:22 unsupported: `priority` is not supported yet | "}},
        {HEAD "steps: {a: {run: ls}}\non_exit: {b: {run: ls}}\n",
         {"4:1 unsupported: `on_exit` is not supported yet | "}},
        {HEAD "steps: {a: {run: ls, network: none}}\n",
         {"3:31 unsupported: network: none is not supported yet | "}},
        {HEAD "steps: {a: {run: ls, sandbox: strict}}\n",
         {"3:31 unsupported: sandbox: strict is not supported yet | "}},
        {HEAD
         "steps: {a: {run: ls, outputs: {o: o}}, b: {run: ls, inputs: {i: {from: a.o, optional: true}}}}\n",
         {"3:77 unsupported: `optional` is not supported yet | "}},
        {HEAD "steps: {a: {run: ls}, b: {run: ls, after: {a: any}}}\n",
         {"3:43 unsupported: `after` as a mapping"}},
        {HEAD "steps: {a: {run: 'echo ${secrets.X}'}}\n",
         {"3:24 unsupported: secrets are not supported yet | "}},
        {"stepcache: 2\nname: x\nsteps: {a: {run: ls}}\n",
         {"1:12 unsupported: version 2 of the language is not supported | this stepctl reads `stepcache: "
          "1`"}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_the_frame_is_checked(void **state)
{
    static const struct mistake cases[] = {
        {"", {"0:0 document: the document is empty | begin with `stepcache: 1`"}},
        {"[1]\n", {"1:1 document: the document must be a mapping, not a list"}},
        {"name: x\nsteps: {a: {run: ls}}\n", {"1:1 document: the version of the language is missing"}},
        {"stepcache: one\nname: x\nsteps: {a: {run: ls}}\n",
         {"1:12 document: stepcache must be the version"}},
        {"stepcache: 1\nsteps: {a: {run: ls}}\n", {"1:1 document: the pipeline's name is missing"}},
        {"stepcache: 1\nname: A_b\nsteps: {a: {run: ls}}\n", {"2:7 document: name: \"A_b\" is not allowed"}},
        {HEAD, {"1:1 document: there are no steps"}},
        {HEAD "steps: {}\n", {"3:8 document: there are no steps"}},
        {HEAD "namespace: -x\nsteps: {a: {run: ls}}\n", {"3:12 document: namespace: \"-x\" is not allowed"}},
        {HEAD "steps: {-a: {run: ls}}\n", {"3:9 document: steps: \"-a\" is not a name"}},
        {HEAD "steps: {sources: {run: ls}}\n", {"3:9 document: \"sources\" can not be a step's name"}},
        {HEAD "steps: {a: ls}\n", {"3:12 document: a step must be a mapping, not a single value"}},
        {HEAD "steps: {a: {outputs: {o: o}}}\n", {"3:9 document: step a has neither `run` nor `command`"}},
        {HEAD "steps: {a: {run: ls, command: [ls]}}\n",
         {"3:31 document: a step has `run` or `command`, not both"}},
        {HEAD "steps: {a: {command: ls}}\n", {"3:22 document: command must be a list of arguments"}},
        {HEAD "steps: {a: {command: []}}\n", {"3:22 document: command is empty"}},
        {HEAD "steps: {a: {command: ['', x]}}\n", {"3:23 document: command: the program's name is empty"}},
        {HEAD "steps: {a: {command: [x, ~]}}\n", {"3:26 document: command must be a text, not nothing"}},
        {HEAD "steps: {a: {run: ''}}\n", {"3:18 document: run is empty"}},
        {HEAD "defaults: {run: x, after: [a]}\nsteps: {a: {command: [ls]}}\n",
         {"3:12 document: `run` is a step's own", "3:20 document: `after` is a step's own"}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_settings_are_checked(void **state)
{
    static const struct mistake cases[] = {
        {HEAD "steps: {a: {run: ls, retry: {max_attempts: many}}}\n",
         {"3:44 document: retry.max_attempts must be a whole number from 1 to 100, not many"}},
        {HEAD "steps: {a: {run: ls, retry: {max_attempts: 0}}}\n",
         {"3:44 document: retry.max_attempts must"}},
        {HEAD "steps: {a: {run: ls, retry: {max_attempts: 101}}}\n", {"3:44 limit: retry.max_attempts must"}},
        {HEAD "steps: {a: {run: ls, retry: {on: [timeot]}}}\n",
         {"3:35 document: retry.on must be agent-lost, out-of-memory, exit, signal, timeout, output-missing, "
          "disk-full, "
          "input-lost or store, not \"timeot\" | did you mean `timeout`?"}},
        {HEAD "steps: {a: {run: ls, retry: {on: exit}}}\n",
         {"3:34 document: retry.on must be a list, not a single value"}},
        {HEAD "steps: {a: {run: ls, retry: {backoff: 2s}}}\n",
         {"3:39 document: retry.backoff: \"2s\" is not a duration"}},
        {HEAD "steps: {a: {run: ls, cache: {expire_after: P1M}}}\n",
         {"3:44 document: cache.expire_after: \"P1M\": months and years have no fixed length | write days or "
          "weeks"}},
        {HEAD "steps: {a: {run: ls, cache: {expire_after: P1Y}}}\n",
         {"3:44 document: cache.expire_after: \"P1Y\": months"}},
        {HEAD "steps: {a: {run: ls, cache: {enabled: 'false'}}}\n",
         {"3:39 document: cache.enabled must be true or false, not false | write true or false, without "
          "quotes"}},
        {HEAD "steps: {a: {run: ls, cache: {refresh: 1}}}\n",
         {"3:39 document: cache.refresh must be true or false"}},
        {HEAD "steps: {a: {run: ls, cache: on}}\n", {"3:29 document: cache must be a mapping"}},
        {HEAD "steps: {a: {run: ls, timeout: 0}}\n", {"3:31 document: timeout: \"0\" is not a duration"}},
        {HEAD "steps: {a: {run: ls, timeout: PT0S}}\n", {"3:31 document: timeout must be more than nothing"}},
        {HEAD "steps: {a: {run: ls, timeout: P40000D}}\n",
         {"3:31 limit: timeout: \"P40000D\" is more than a hundred years"}},
        {HEAD "steps: {a: {run: ls, resources: {cpus: -1}}}\n",
         {"3:40 document: resources.cpus: \"-1\" is not"}},
        {HEAD "steps: {a: {run: ls, resources: {cpus: 0}}}\n",
         {"3:40 limit: resources.cpus must be from 0.001"}},
        {HEAD "steps: {a: {run: ls, resources: {memory: 1gb}}}\n",
         {"3:42 document: resources.memory: \"1gb\" is not a size"}},
        {HEAD "steps: {a: {run: ls, resources: {disk: 0}}}\n", {"3:40 limit: resources.disk must be"}},
        {HEAD "steps: {a: {run: ls, resources: {gpus: 1.5}}}\n",
         {"3:40 document: resources.gpus must be a whole number"}},
        {HEAD "steps: {a: {run: ls, resources: {labels: {'a b': c}}}}\n",
         {"3:43 document: resources.labels: \"a b\" is not a label's name"}},
        {HEAD "steps: {a: {run: ls, sandbox: lax}}\n",
         {"3:31 document: sandbox must be none or strict, not \"lax\""}},
        {HEAD "steps: {a: {run: ls, network: true}}\n",
         {"3:31 document: network must be on or none, not \"true\""}},
        {HEAD "environment: hots\nsteps: {a: {run: ls}}\n",
         {"3:14 document: environment must be host or any, not \"hots\" | did you mean `host`?"}},
        {HEAD "environment: {probe: []}\nsteps: {a: {run: ls}}\n",
         {"3:22 document: environment.probe has no commands"}},
        {HEAD "steps: {a: {run: ls, env: {1A: x}}}\n",
         {"3:28 document: env: \"1A\" is not a variable's name"}},
        {HEAD "steps: {a: {run: ls, env: {A: [x]}}}\n", {"3:31 document: env must be a text, not a list"}},
        {HEAD "steps: {a: {run: ls, env: {A: }}}\n", {"3:28 document: env must be a text, not nothing"}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_ports_are_checked(void **state)
{
    static const struct mistake cases[] = {
        {HEAD "steps: {a: {run: ls, outputs: {o: ../up}}}\n",
         {"3:35 document: \"../up\" is not an output's path"}},
        {HEAD "steps: {a: {run: ls, outputs: {o: /abs}}}\n",
         {"3:35 document: \"/abs\" is not an output's path"}},
        {HEAD "steps: {a: {run: ls, outputs: {o: a//b}}}\n",
         {"3:35 document: \"a//b\" is not an output's path"}},
        {HEAD "steps: {a: {run: ls, outputs: {o: '${params.x}'}}}\n",
         {"3:35 document: an output's path can not hold"}},
        {HEAD "steps: {a: {run: ls, outputs: {o: a, p: a}}}\n",
         {"3:41 document: output p is output o, or lies in it"}},
        {HEAD "steps: {a: {run: ls, outputs: {o: a/b, p: a/, q: a-b}}}\n",
         {"3:35 document: output o is output p, or lies in it"}},
        {HEAD "steps: {a: {run: ls, outputs: {m: m.json, d: d/}, values: {v: n.json#/x}}}\n",
         {"3:63 document: \"n.json\" is not the path of a file among the step's outputs | did you mean "
          "`m.json`?"}},
        {HEAD "steps: {a: {run: ls, outputs: {d: d/}, values: {v: 'd#/x'}}}\n",
         {"3:52 document: \"d\" is not the path of a file among the step's outputs | declare the file in "
          "`outputs`"}},
        {HEAD "steps: {a: {run: ls, outputs: {m: m.json}, values: {v: m.json}}}\n",
         {"3:56 document: \"m.json\" is not file#pointer"}},
        {HEAD "steps: {a: {run: ls, outputs: {m: m.json}, values: {v: m.json#x}}}\n",
         {"3:56 document: \"x\" is not a JSON pointer"}},
        {HEAD "steps: {a: {run: ls, outputs: {m: m.json}, values: {v: m.json#/~2}}}\n",
         {"3:56 document: \"/~2\" is not a JSON pointer"}},
        {HEAD "steps: {a: {run: ls, outputs: {m: m.json}, values: {m: m.json#}}}\n",
         {"3:53 document: value m has the name of an output"}},
        {HEAD "steps: {a: {run: ls, matrix: {x: []}}}\n", {"3:34 document: matrix.x has no values"}},
        {HEAD "steps: {a: {run: ls, matrix: {x: [1, 2, 1]}}}\n",
         {"3:34 document: matrix.x: the value \"1\" stands there twice"}},
        {HEAD "steps: {a: {run: ls, matrix: {x: 1}}}\n", {"3:34 document: a matrix key must be a list"}},
        {HEAD "steps: {a: {run: ls, code: [/etc/passwd]}}\n",
         {"3:29 document: code: \"/etc/passwd\" is not a relative"}},
        {HEAD "steps: {a: {run: ls, code: [a/../../x]}}\n",
         {"3:29 document: code: \"a/../../x\" is not a relative"}},
        {HEAD "steps: {a: {run: ls, code: ['!x']}}\n",
         {"3:29 document: code: there is nothing yet that \"!\" could"}},
        {HEAD "steps: {a: {run: ls, inputs: {'a b': sources.x}}}\n",
         {"3:31 document: inputs: \"a b\" is not a name"}},
        {HEAD "steps: {a: {run: ls, key: {ignore: [command]}}}\n",
         {"3:37 document: key.ignore: \"command\" can not be left out"}},
        {HEAD "steps: {a: {run: ls, env: {LD_PRELOAD: x}, key: {ignore: [env.LD_PRELOAD]}}}\n",
         {"3:59 document: key.ignore: \"env.LD_PRELOAD\" can not be left out"}},
        {HEAD "steps: {a: {run: ls, key: {ignore: [inputs.x, env.Y, environment.moon, salt]}}}\n",
         {"3:37 document: key.ignore: the step has no \"inputs.x\"",
          "3:47 document: key.ignore: the step has no \"env.Y\"",
          "3:54 document: key.ignore: the step has no \"environment.moon\"",
          "3:72 document: key.ignore: \"salt\" names no part of the key"}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_references_are_checked_and_suggest_the_nearest(void **state)
{
    static const struct mistake cases[] = {
        {HEAD "sources: {raw: ./r}\nsteps:\n  prep: {run: ls, outputs: {train: t}}\n"
              "  b: {run: ls, inputs: {x: prep.trian, y: sources.rw, z: perp.train}, after: [prap]}\n",
         {"6:28 document: step prep has no output or value \"trian\" | did you mean `train`?",
          "6:43 document: there is no source \"rw\" | did you mean `raw`?",
          "6:58 document: there is no step \"perp\" | did you mean `prep`?",
          "6:79 document: there is no step \"prap\" | did you mean `prep`?"}},
        {HEAD "steps: {a: {run: ls, inputs: {i: b}}, b: {run: ls}}\n",
         {"3:34 document: \"b\" names no output | write step.output"}},
        {HEAD "steps: {a: {run: ls, inputs: {i: {}}}}\n", {"3:34 document: an input needs `from`"}},
        {HEAD "steps: {a: {run: ls, inputs: {i: '${params.x}'}}}\n",
         {"3:34 document: a reference can not hold placeholders"}},
        {HEAD "steps: {a: {run: ls, outputs: {m: m}, values: {v: m#}}}\noutputs: {x: a.v, y: a.n}\n",
         {"4:14 document: \"a.v\" is a value: outputs are files and folders",
          "4:22 document: step a has no output or value \"n\""}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_a_circle_is_shown_as_the_path_that_closes_it(void **state)
{
    static const struct mistake cases[] = {
        {HEAD "steps: {a: {run: ls, after: [a]}}\n",
         {"3:29 document: steps need each other in a circle: a -> a | "}},
        {HEAD "steps:\n  a: {run: ls, inputs: {i: c.o}, outputs: {o: o}}\n  b: {run: ls, inputs: {i: a.o}, "
              "outputs: {o: o}}\n"
              "  c: {run: ls, inputs: {i: b.o}, outputs: {o: o}}\n",
         {"5:28 document: steps need each other in a circle: a -> c -> b -> a | "}},
        {HEAD "steps:\n  z: {run: ls, after: [a]}\n  a: {run: ls, after: [b]}\n  b: {run: ls, after: [a]}\n",
         {"6:23 document: steps need each other in a circle: a -> b -> a | "}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_placeholders_are_checked_at_their_own_place(void **state)
{
    static const struct mistake cases[] = {
        {HEAD "params: {depth: 5}\nsteps:\n  a:\n    run: |\n      ls ${params.depth}\n      ls é "
              "${params.dept} ${inputs.i}\n",
         {"8:12 document: there is no parameter \"dept\" | did you mean `depth`?",
          "8:27 document: ${inputs.i}: the step has no input \"i\""}},
        {HEAD "steps: {a: {run: 'x ${outputs.ot} ${matrix.n}', outputs: {out: o}, matrix: {m: [1]}}}\n",
         {"3:21 document: ${outputs.ot}: the step has no output \"ot\" | did you mean `out`?",
          "3:35 document: ${matrix.n}: the step has no matrix key \"n\""}},
        {HEAD "steps: {a: {run: '${input.x} ${steps.b.values.v} ${env.HOME} ${ params.x } ${params.x:-1} "
              "${params.}'}}\n",
         {"3:19 document: unknown placeholder ${input.x} | did you mean `inputs`?",
          "3:30 document: ${steps.b.values.v}: a step sees only what its inputs name",
          "3:50 document: ${env.HOME} is no placeholder | in `run` the shell expands $NAME",
          "3:62 document: a malformed placeholder", "3:76 document: a malformed placeholder",
          "3:91 document: a malformed placeholder"}},
        {HEAD "steps: {a: {run: 'x ${run.id}'}}\n",
         {"3:21 document: ${run.id} differs in every run: it is allowed only where the cache is off | give "
          "the step `cache"}},
        {HEAD "steps: {a: {run: 'x ${run.time}', cache: {enabled: false}}}\n",
         {"3:21 document: the run has no \"time\""}},
        {HEAD
         "params: {m: {a: {b: 1}}, n: 5}\nsteps: {a: {command: [x, '${params.m.a.c}', '${params.n.x}']}}\n",
         {"4:27 document: parameter m has no \"a.c\"", "4:46 document: parameter n has no \"x\""}},
        {HEAD "sources: {s: './${inputs.x}'}\nsteps: {a: {run: ls}}\n",
         {"3:17 document: a source: only parameters may stand here, not ${inputs.x}"}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_parameters_and_sources_are_checked(void **state)
{
    static const struct mistake cases[] = {
        {HEAD "params: {a: , b: ~}\nsteps: {a: {run: ls}}\n",
         {"3:10 document: parameter a has no default", "3:15 document: parameter b has no default"}},
        {HEAD "params: {a b: 1}\nsteps: {a: {run: ls}}\n", {"3:10 document: params: \"a b\" is not a name"}},
        {HEAD "params: {l: [.inf]}\nsteps: {a: {run: ls}}\n",
         {"3:14 document: \".inf\" cannot be written as JSON"}},
        {HEAD "sources: {s: /abs}\nsteps: {a: {run: ls}}\n",
         {"3:14 document: an absolute path is not a local source | write file:///"}},
        {HEAD "sources: {s: 'file://host/x'}\nsteps: {a: {run: ls}}\n",
         {"3:14 document: a file:// source is an absolute path"}},
        {HEAD "sources: {s: 'file:///a/%2'}\nsteps: {a: {run: ls}}\n",
         {"3:14 document: a malformed percent escape"}},
        {HEAD "sources: {s: 'file:///a/../b'}\nsteps: {a: {run: ls}}\n",
         {"3:14 document: a file:// source must not contain"}},
        {HEAD "sources: {s: ''}\nsteps: {a: {run: ls}}\n", {"3:14 document: a source must be a path"}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_yaml_mistakes_are_placed(void **state)
{
    static const struct mistake cases[] = {
        {"a: [1\n", {"2:1 document: not YAML: "}},
        {"a: 1\n---\nb: 2\n", {"2:1 unsupported: a second YAML document begins here"}},
        {"%YAML 1.1\n---\na: 1\n", {"2:1 unsupported: only YAML 1.2 is read"}},
        {"a: !!int 1\n", {"1:4 unsupported: tags are not supported: "}},
        {"a: &x 1\nb: {<<: *x}\n", {"2:5 unsupported: merge keys (<<) are not part of YAML 1.2"}},
        {"a: *x\n", {"1:4 document: no anchor &x ends before this alias"}},
        {"a: &x [*x]\n", {"1:8 document: no anchor &x ends before this alias"}},
        {"a: 1\nb: {c: 1, c: 2}\na: 2\n",
         {"2:11 document: duplicate key \"c\": line 2 has it",
          "3:1 document: duplicate key \"a\": line 1 has it"}},
        {"? [a]\n: 1\n", {"1:3 document: a key must be a text"}},
        {"a: \"x\\0y\"\n", {"1:4 document: a text must not contain NUL"}},
        {"a: x\xff\n", {"1:5 document: not UTF-8"}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
    struct sc_slice nul = SC_SLICE_LIT("a: 1\nb: \0 c: 1\n");
    compile_with(*state, nul, NULL, 0);
    assert_int_equal(((struct compiled *)*state)->diagnostics.items[0].line, 2);
    assert_int_equal(((struct compiled *)*state)->diagnostics.items[0].column, 4);
}

static void test_the_first_twenty_by_place_are_kept_and_each_once(void **state)
{
    struct compiled *c = *state;
    SC_AUTO_BUF struct sc_buf text = {0};
    sc_buf_add_str(&text, HEAD "defaults: {env: {1X: y}}\nsteps:\n");
    for (int i = 0; i < 40; i++)
        sc_buf_printf(&text, "  s%d: {run: ls, inputs: {i: nothing%d.x}}\n", i, i);
    compile(c, sc_buf_cstr(&text));
    assert_rc(c->rc, SC_DOCUMENT);
    assert_int_equal(c->diagnostics.count, SC_LIMIT_DOCUMENT_ERRORS);
    assert_true(c->diagnostics.more);
    assert_int_equal(c->diagnostics.items[0].line, 3);
    for (uint32_t i = 1; i < c->diagnostics.count; i++)
        assert_int_equal(c->diagnostics.items[i].line, 4 + i);
}

static void expect_limit(struct compiled *c, const char *text, const char *words)
{
    compile(c, text);
    assert_rc(c->rc, SC_LIMIT);
    SC_AUTO_BUF struct sc_buf told = {0};
    print_diagnostics(&c->diagnostics, &told);
    assert_contains(sc_buf_cstr(&told), words);
}

static void add_numbers(struct sc_buf *out, const char *format, int from, int to)
{
    for (int i = from; i < to; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        sc_buf_printf(out, format, i, i);
#pragma GCC diagnostic pop
    }
}

static void test_each_limit_has_an_error_that_names_it(void **state)
{
    struct compiled *c = *state;
    static const struct {
        const char *before, *each, *after, *words;
        int count;
    } cases[] = {
        {HEAD "steps: {a: {run: ls, matrix: {x: [", "v%d,", "]}}}\n",
         "a matrix key: 10001 entries are more than 10000", 10001},
        {HEAD "steps: {a: {run: ls, matrix: {y: [1, 2, 3], x: [", "v%d,", "]}}}\n",
         "matrix: more than 10000 instances", 4000},
        {HEAD "sources: {s: ./x}\nsteps: {a: {run: ls, inputs: {", "i%d: sources.s,", "}}}\n",
         "inputs: 1001 are more than 1000", 1001},
        {HEAD "steps: {a: {run: ls, outputs: {", "o%d: o%d,", "}}}\n", "outputs: 1001 are more than 1000",
         1001},
        {HEAD "steps: {a: {run: ls, env: {", "E%d: x,", "}}}\n", "env: 1001 are more than 1000", 1001},
        {HEAD "steps: {a: {run: ls, resources: {labels: {", "l%d: x,", "}}}}\n",
         "resources.labels: 1001 are more than 1000", 1001},
        {HEAD "steps: {a: {run: ls, code: [", "c%d,", "]}}\n", "code: 1001 entries are more than 1000", 1001},
        {HEAD "environment: {probe: [", "c%d,", "]}\nsteps: {a: {run: ls}}\n",
         "environment.probe: 1001 entries are more than 1000", 1001},
        {HEAD "steps: {a: {command: [", "c%d,", "]}}\n", "command: 10001 entries are more than 10000", 10001},
        {HEAD "params: {", "p%d: 1,", "}\nsteps: {a: {run: ls}}\n", "params: 10001 are more than 10000",
         10001},
        {HEAD "steps: {", "a%d: {run: ls},", "}\n", "100001 steps are more than 100000", 100001},
        {HEAD "steps: {", "a%d: {run: ls, matrix: {x: &m [0,1,2,3,4,5,6,7,8,9]}},", "}\n",
         "110010 step instances are more than 100000", 11001},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_BUF struct sc_buf text = {0};
        sc_buf_add_str(&text, cases[i].before);
        add_numbers(&text, cases[i].each, 0, cases[i].count);
        sc_buf_add_str(&text, cases[i].after);
        expect_limit(c, sc_buf_cstr(&text), cases[i].words);
    }
}

static void test_limits_of_size_have_errors_that_name_them(void **state)
{
    struct compiled *c = *state;
    SC_AUTO_BUF struct sc_buf text = {0};
    sc_buf_add_str(&text, HEAD "steps: {a: {run: ");
    for (int i = 0; i < 65537; i++)
        sc_buf_add_byte(&text, 'x');
    sc_buf_add_str(&text, "}}\n");
    expect_limit(c, sc_buf_cstr(&text), "run: a text of 65537 bytes is more than 65536");

    sc_buf_clear(&text);
    for (int i = 0; i < 40; i++)
        sc_buf_add_str(&text, "{a: ");
    expect_limit(c, sc_buf_cstr(&text), "nested more than 32 deep");

    sc_buf_clear(&text);
    sc_buf_add_str(&text, HEAD "steps: {");
    for (int i = 0; i < 64; i++)
        sc_buf_add_byte(&text, 'n');
    sc_buf_add_str(&text, ": {run: ls}}\n");
    expect_limit(c, sc_buf_cstr(&text), "steps: a name of 64 bytes is more than 63");

    sc_buf_clear(&text);
    sc_buf_add_str(&text, HEAD "steps: {a: {run: ls, matrix: {k: [");
    for (int i = 0; i < 100; i++)
        sc_buf_add_str(&text, "===");
    sc_buf_add_str(&text, "]}}}\n");
    expect_limit(c, sc_buf_cstr(&text), "would be longer than 255 bytes");

    struct sc_slice huge = sc_slice(sc_buf_cstr(&text), (64u << 20) + 1); // refused before it is looked at
    compile_with(c, huge, NULL, 0);
    assert_rc(c->rc, SC_LIMIT);
}

static void test_aliases_share_within_a_bound(void **state)
{
    struct compiled *c = *state;
    compile_good(c, HEAD
                 "steps:\n  a: &s {run: ls, env: {A: &v deep}}\n  b: *s\n  c: {run: ls, env: {B: *v}}\n");
    assert_int_equal(c->plan->steps.count, 3);
    assert_slice(step_of(c, "c")->env.items[0].value.segments.items[0].text, "deep");
    SC_AUTO_BUF struct sc_buf text = {0};
    sc_buf_add_str(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++)
        sc_buf_printf(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
                      i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    expect_limit(c, sc_buf_cstr(&text), "aliases stand for more than 1000000 values");
}

static void test_short_documents_can_not_stand_for_endless_texts(void **state)
{
    struct compiled *c = *state;
    SC_AUTO_BUF struct sc_buf text = {0};
    sc_buf_add_str(&text, HEAD "params: {p: ");
    for (int i = 0; i < 60000; i++)
        sc_buf_add_byte(&text, 'x');
    sc_buf_add_str(&text, "}\nsteps: {a: {command: [x");
    for (int i = 0; i < 9000; i++)
        sc_buf_add_str(&text, ", '-${params.p}'");
    sc_buf_add_str(&text, "]}}\n");
    expect_limit(c, sc_buf_cstr(&text), "texts with their parameters filled in are more than");
    sc_buf_clear(&text);
    sc_buf_add_str(&text, HEAD "params: {p: ");
    for (int i = 0; i < 60000; i++)
        sc_buf_add_byte(&text, 'x');
    sc_buf_add_str(&text, "}\nsteps: {a: {command: [x");
    for (int i = 0; i < 9000; i++)
        sc_buf_add_str(&text, ", '${params.p}'");
    sc_buf_add_str(&text, "]}}\n");
    expect_limit(c, sc_buf_cstr(&text), "the plan is more than");
}

static void test_scalars_are_taken_as_written(void **state)
{
    struct compiled *c = *state;
    compile_good(
        c, HEAD
        "steps: {a: {run: ls, env: {A: 1, B: 1.50, C: yes, D: 0x10, E: true, F: ''}, key: {salt: 2}}}\n");
    static const char *const texts[] = {"1", "1.50", "yes", "0x10", "true"};
    for (size_t i = 0; i < SC_COUNT(texts); i++)
        assert_slice(step_of(c, "a")->env.items[i].value.segments.items[0].text, texts[i]);
    assert_int_equal(step_of(c, "a")->env.items[5].value.segments.count, 0);
    assert_slice(step_of(c, "a")->salt, "2");
}

static void print_word(const struct sc_word *word, struct sc_buf *out)
{
    static const char *const kinds[] = {"", "in:", "out:", "v:", "m:", "run:"};
    for (uint32_t i = 0; i < word->segments.count; i++) {
        const struct sc_segment *s = &word->segments.items[i];
        sc_buf_printf(out, "<%s" SC_SLICE_FMT, kinds[s->kind], SC_SLICE_ARG(s->text));
        if (s->kind == SC_SEGMENT_MATRIX)
            sc_buf_printf(out, "%u", s->index);
        sc_buf_add_byte(out, '>');
    }
}

static void test_placeholders_become_segments(void **state)
{
    struct compiled *c = *state;
    static const struct {
        const char *key, *text, *expected;
    } cases[] = {
        {"run", "a${params.n}b", "<a><v:5><b>"},
        {"command", "a${params.n}b", "<a5b>"},
        {"command", "${params.n}", "<5>"},
        {"command", "${params.empty}", ""},
        {"run", "${params.empty}x", "<v:><x>"},
        {"run", "${inputs.i}${outputs.o} ${matrix.m}", "<in:i><out:o>< ><m:0>"},
        {"command", "${matrix.m}${matrix.n}", "<m:0><m:1>"},
        {"run", "${HOME} ${x:-a.b} ${f%.csv} $x $$ ${#a} ${1.x}",
         "<${HOME} ${x:-a.b} ${f%.csv} $x $$ ${#a} ${1.x}>"},
        {"command", "${HOME}", "<${HOME}>"},
        {"run", "$${params.n} $$${params.n} $$ {", "<${params.n} $${params.n} $$ {>"},
        {"command", "a$${b}${params.n}", "<a${b}5>"},
        {"run", "${run.id}/${run.status}", "<run:id></><run:status>"},
        {"command", "${params.list} ${params.map}", "<[1,\"a\",null] {\"a\":{\"b\":true},\"z\":0.5}>"},
        {"command", "${params.map.a.b}${params.map.z}${params.map.a}", "<true.5{\"b\":true}>"},
        {"env", "${inputs.i}:${params.n}:${params.n}", "<in:i><:5:5>"},
        {"run", "$", "<$>"},
        {"run", "${", "<${>"},
        {"run", "${params", "<${params>"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        bool env = strcmp(cases[i].key, "env") == 0, script = strcmp(cases[i].key, "run") == 0;
        SC_AUTO_FREE char *text = sc_asprintf(
            HEAD
            "params: {n: 5, empty: '', list: [+1, a, ], map: {z: .5, a: {b: true}}}\nsources: {s: ./s}\n"
            "steps: {a: {%s: %s'%s'%s, inputs: {i: sources.s}, outputs: {o: o}, matrix: {n: [1], m: [2]}, "
            "cache: {enabled: false}}}\n",
            env ? "command: [x], env" : cases[i].key,
            script ? ""
            : env  ? "{E: "
                   : "[",
            cases[i].text,
            script ? ""
            : env  ? "}"
                   : "]");
        SC_AUTO_FREE char *fixed = sc_strdup(text);
        char *hole = strstr(fixed, "a, ]");
        memcpy(hole, "a,~]", 4);
        SC_AUTO_BUF struct sc_buf out = {0};
        compile_good(c, fixed);
        const struct sc_plan_step *step = step_of(c, "a");
        print_word(env ? &step->env.items[0].value : &step->command.items[0], &out);
        assert_string_equal(sc_buf_cstr(&out), cases[i].expected);
    }
}

static void test_uses_are_noted_once_and_sorted(void **state)
{
    struct compiled *c = *state;
    compile_good(c, HEAD "params: {b: 1, a: {x: 2}}\nsteps: {a: {command: ['${params.b}', "
                         "'${params.a.x}${params.b}']}, b: {run: ls}}\n");
    const struct sc_plan_step *step = step_of(c, "a");
    assert_int_equal(step->uses.count, 2);
    assert_slice(step->uses.items[0].name, "params.a.x");
    assert_slice(step->uses.items[0].value, "2");
    assert_slice(step->uses.items[1].name, "params.b");
    assert_int_equal(step_of(c, "b")->uses.count, 0);
}

static void test_overrides_are_parsed_by_the_declared_type(void **state)
{
    struct compiled *c = *state;
    static const char text[] =
        HEAD "params: {i: 5, n: 0.5, b: false, s: t, l: [1], m: {a: 1}}\nsteps: {a: {run: ls}}\n";
    static const struct {
        const char *name, *value, *expected; // NULL: refused
    } cases[] = {
        {"i", "7", "7"},       {"i", "-7", "-7"},
        {"i", "7.0", NULL},    {"i", "", NULL},
        {"i", "deep", NULL},   {"n", "1", "1"},
        {"n", "1e-3", "1e-3"}, {"n", "fast", NULL},
        {"b", "true", "true"}, {"b", "perhaps", NULL},
        {"s", "5", "5"},       {"s", "", ""},
        {"s", "a=b", "a=b"},   {"l", "[2, x]", "[2,\"x\"]"},
        {"l", "{}", NULL},     {"l", "[", NULL},
        {"l", "x", NULL},      {"m", "{b: 2, a: 1}", "{\"a\":1,\"b\":2}"},
        {"m", "[1]", NULL},    {"z", "1", NULL},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_param_override override = {sc_slice_str(cases[i].name), sc_slice_str(cases[i].value)};
        compile_with(c, sc_slice_str(text), &override, 1);
        if (!cases[i].expected) {
            assert_rc(c->rc, SC_DOCUMENT);
            assert_int_equal(c->diagnostics.items[0].line, 0);
            continue;
        }
        assert_rc(c->rc, SC_OK);
        uint32_t k = 0;
        while (!sc_slice_eq_str(c->plan->params.items[k].name, cases[i].name))
            k++;
        assert_slice(c->plan->params.items[k].value, cases[i].expected);
    }
}

static void test_a_matrix_may_be_a_list_parameter_and_an_override_reaches_it(void **state)
{
    struct compiled *c = *state;
    static const char text[] =
        HEAD "params: {l: [0.1, 0.2]}\nsteps: {a: {run: ls, matrix: {x: '${params.l}'}}}\n";
    compile_good(c, text);
    assert_int_equal(sc_plan_instances(step_of(c, "a")), 2);
    struct sc_param_override override = {sc_slice_str("l"), sc_slice_str("[1, 2, 3]")};
    compile_with(c, sc_slice_str(text), &override, 1);
    assert_rc(c->rc, SC_OK);
    assert_int_equal(sc_plan_instances(step_of(c, "a")), 3);
    assert_slice(step_of(c, "a")->matrix.items[0].values.items[2], "3");
}

static void test_defaults_are_merged_key_by_key_and_the_step_wins(void **state)
{
    struct compiled *c = *state;
    compile_good(c, HEAD "environment: any\ndefaults:\n  cache: {expire_after: P1D, refresh: true}\n  "
                         "resources: {cpus: 2, memory: 1GiB, labels: {a: 1, c: 1}}\n"
                         "  retry: {max_attempts: 4, on: [exit]}\n  env: {A: base, B: base}\n  key: {salt: "
                         "s, ignore: [env.A, inputs.none]}\n  timeout: PT1H\n  code: [lib/]\n"
                         "steps:\n  a: {run: ls}\n"
                         "  b: {run: ls, cache: {expire_after: PT1S}, resources: {cpus: 0.5, labels: {b: 2, "
                         "c: 2}}, retry: {on: [store]}, env: {B: own, C: own},"
                         " environment: host, code: [x.py], key: {ignore: []}}\n");
    const struct sc_plan_step *a = step_of(c, "a"), *b = step_of(c, "b");
    assert_int_equal(a->expire_after_ms, 86400000);
    assert_int_equal(b->expire_after_ms, 1000);
    assert_true(a->refresh && b->refresh);
    assert_int_equal(a->cpus_milli, 2000);
    assert_int_equal(b->cpus_milli, 500);
    assert_int_equal(b->memory_bytes, 1 << 30);
    assert_int_equal(a->labels.count, 2);
    assert_int_equal(b->labels.count, 3);
    assert_slice(b->labels.items[2].value, "2");
    assert_int_equal(b->retry_attempts, 4);
    assert_int_equal(a->retry_on, SC_RETRY_EXIT);
    assert_int_equal(b->retry_on, SC_RETRY_STORE);
    assert_int_equal(b->env.count, 3);
    assert_slice(b->env.items[1].value.segments.items[0].text, "own");
    assert_slice(b->salt, "s");
    assert_int_equal(a->ignored.count, 1); // the input that no step has is no mistake of a default
    assert_int_equal(b->ignored.count, 0);
    assert_int_equal(a->environment, SC_ENVIRONMENT_ANY);
    assert_int_equal(b->environment, SC_ENVIRONMENT_HOST);
    assert_slice(a->code_patterns.items[0], "lib/");
    assert_slice(b->code_patterns.items[0], "x.py");
    assert_int_equal(a->timeout_ms, 3600000);
}

static void test_what_is_not_written_has_its_default(void **state)
{
    struct compiled *c = *state;
    compile_good(c, HEAD "steps: {a: {run: ls}, b: {run: ls, retry: {on: [exit]}}}\n");
    const struct sc_plan_step *a = step_of(c, "a");
    assert_slice(c->plan->namespace_, "default");
    assert_int_equal(a->environment, SC_ENVIRONMENT_HOST);
    assert_int_equal(a->cpus_milli, 1000);
    assert_int_equal(a->memory_bytes, 0);
    assert_int_equal(a->retry_attempts, 3); // what is no fault of the step's is tried again unasked
    assert_int_equal(a->retry_on, SC_RETRY_AGENT_LOST | SC_RETRY_STORE);
    assert_int_equal(step_of(c, "b")->retry_attempts, 3);
    assert_int_equal(a->timeout_ms, 0);
    assert_false(a->cache_disabled || a->expires || a->refresh || a->resources_keyed);
}

static void test_steps_are_in_topological_order_stable_by_the_document(void **state)
{
    struct compiled *c = *state;
    compile_good(
        c,
        HEAD "steps:\n  d: {run: ls, inputs: {i: b.o}, after: [c, a], outputs: {o: o}}\n  a: {run: ls}\n  b: "
             "{run: ls, outputs: {o: o}}\n  c: {run: ls, after: [d2]}\n  d2: {run: ls}\noutputs: {x: d.o}\n");
    static const char *const names[] = {"b", "a", "d2", "c", "d"};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        assert_slice(c->plan->steps.items[i].name, names[i]);
    const struct sc_plan_step *d = step_of(c, "d");
    assert_int_equal(d->inputs.items[0].node, 0);
    assert_int_equal(d->after.items[0], 1);
    assert_int_equal(d->after.items[1], 3);
    assert_int_equal(c->plan->outputs.items[0].step, 4);
    compile_good(c, HEAD "steps: {z: {run: ls}, y: {run: ls}, x: {run: ls, after: [y]}}\n");
    assert_slice(c->plan->steps.items[0].name, "z");
    assert_slice(c->plan->steps.items[2].name, "x");
}

static void test_sources_have_kinds_and_simple_paths(void **state)
{
    struct compiled *c = *state;
    static const struct {
        const char *uri, *path;
        enum sc_source_kind kind;
        bool dir;
    } cases[] = {
        {"./a.csv", "a.csv", SC_SOURCE_LOCAL, false},
        {"a/b/", "a/b", SC_SOURCE_LOCAL, true},
        {"./", ".", SC_SOURCE_LOCAL, true},
        {"../data//x/./y", "../data/x/y", SC_SOURCE_LOCAL, false},
        {"${params.p}/z", "q/z", SC_SOURCE_LOCAL, false},
        {"file:///a/b%20c", "/a/b c", SC_SOURCE_FILE, false},
        {"file:///d/", "/d", SC_SOURCE_FILE, true},
        {"file://localhost/d", "/d", SC_SOURCE_FILE, false},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_FREE char *text = sc_asprintf(
            HEAD "params: {p: q}\nsources: {s: {uri: '%s', identity: content}}\nsteps: {a: {run: ls}}\n",
            cases[i].uri);
        compile_good(c, text);
        assert_slice(c->plan->sources.items[0].path, cases[i].path);
        assert_int_equal(c->plan->sources.items[0].kind, cases[i].kind);
        assert_int_equal(c->plan->sources.items[0].dir, cases[i].dir);
    }
}

static void test_a_chain_of_a_hundred_thousand_steps_is_ordered_without_recursion(void **state)
{
    struct compiled *c = *state;
    SC_AUTO_BUF struct sc_buf text = {0};
    sc_buf_add_str(&text, HEAD "steps:\n");
    for (int i = 99999; i >= 0; i--) { // backwards: the deepest way
        sc_buf_printf(&text, "  s%d: {run: ls", i);
        if (i > 0)
            sc_buf_printf(&text, ", after: [s%d]", i - 1);
        sc_buf_add_str(&text, "}\n");
    }
    compile_good(c, sc_buf_cstr(&text));
    assert_slice(c->plan->steps.items[0].name, "s0");
    assert_slice(c->plan->steps.items[99999].name, "s99999");
}

// ---- golden documents

// The plan's encoding as people read it, a step a line.
static void print_plan(const struct sc_plan *plan, struct sc_buf *out)
{
    SC_AUTO_BUF struct sc_buf bytes = {0};
    sc_plan_encode(plan, &bytes);
    struct sc_mp_reader reader = sc_mp_reader(sc_buf_slice(&bytes));
    uint32_t fields = sc_mp_get_array(&reader);
    for (uint32_t i = 0; i < fields; i++) {
        if (sc_mp_peek(&reader) != SC_MP_ARRAY) {
            sc_key_value_print(sc_mp_skip(&reader, 16), SIZE_MAX, out);
            sc_buf_add_byte(out, '\n');
            continue;
        }
        uint32_t items = sc_mp_get_array(&reader);
        sc_buf_printf(out, "%u:\n", items);
        for (uint32_t k = 0; k < items; k++) {
            sc_buf_add_str(out, "  ");
            sc_key_value_print(sc_mp_skip(&reader, 16), SIZE_MAX, out);
            sc_buf_add_byte(out, '\n');
        }
    }
    assert_true(sc_mp_finished(&reader));
    struct sc_digest digest = sc_digest_of(sc_buf_slice(&bytes)), shape = sc_plan_template(plan);
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(&digest, hex);
    sc_buf_printf(out, "encoding %s\n", hex);
    sc_digest_hex(&shape, hex);
    sc_buf_printf(out, "template %s\n", hex);
}

static void test_golden_documents_become_what_they_became(void **state)
{
    static const char *const names[] = {"full", "retrain", "mistakes", "flow"};
    struct compiled *c = *state;
    const char *source = getenv("STEPCACHE_SOURCE");
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        SC_AUTO_FREE char *path =
            sc_asprintf("%s/tests/golden/document/%s", source ? source : "..", names[i]);
        SC_AUTO_FREE char *in = sc_asprintf("%s.yaml", path), *expected = sc_asprintf("%s.expected", path);
        SC_AUTO_BUF struct sc_buf text = {0}, want = {0}, got = {0};
        struct sc_error err = SC_ERROR_INIT;
        assert_ok(sc_file_read(in, 1 << 20, &text, &err), err);
        compile_with(c, sc_buf_slice(&text), NULL, 0);
        if (c->rc == SC_OK)
            print_plan(c->plan, &got);
        else
            print_diagnostics(&c->diagnostics, &got);
        if (getenv("STEPCACHE_GOLDEN")) {
            FILE *file = fopen(expected, "w");
            assert_non_null(file);
            assert_int_equal(fwrite(got.ptr, 1, got.len, file), got.len);
            fclose(file);
            continue;
        }
        assert_ok(sc_file_read(expected, 1 << 20, &want, &err), err);
        assert_string_equal(sc_buf_cstr(&got), sc_buf_cstr(&want));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_unknown_keys_suggest_the_nearest),
        TEST(test_what_is_not_built_is_refused_by_name_with_what_to_do),
        TEST(test_the_frame_is_checked),
        TEST(test_settings_are_checked),
        TEST(test_ports_are_checked),
        TEST(test_references_are_checked_and_suggest_the_nearest),
        TEST(test_a_circle_is_shown_as_the_path_that_closes_it),
        TEST(test_placeholders_are_checked_at_their_own_place),
        TEST(test_parameters_and_sources_are_checked),
        TEST(test_yaml_mistakes_are_placed),
        TEST(test_the_first_twenty_by_place_are_kept_and_each_once),
        TEST(test_each_limit_has_an_error_that_names_it),
        TEST(test_limits_of_size_have_errors_that_name_them),
        TEST(test_aliases_share_within_a_bound),
        TEST(test_short_documents_can_not_stand_for_endless_texts),
        TEST(test_scalars_are_taken_as_written),
        TEST(test_placeholders_become_segments),
        TEST(test_uses_are_noted_once_and_sorted),
        TEST(test_overrides_are_parsed_by_the_declared_type),
        TEST(test_a_matrix_may_be_a_list_parameter_and_an_override_reaches_it),
        TEST(test_defaults_are_merged_key_by_key_and_the_step_wins),
        TEST(test_what_is_not_written_has_its_default),
        TEST(test_steps_are_in_topological_order_stable_by_the_document),
        TEST(test_sources_have_kinds_and_simple_paths),
        TEST(test_a_chain_of_a_hundred_thousand_steps_is_ordered_without_recursion),
        TEST(test_golden_documents_become_what_they_became),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
