// What is wrong with a document: each mistake with its place and its hint, each construct that is not built refused by name,
// each limit named.
#include "tests/lib/compiled.h"
#include "tests/lib/test.h"

#include "base/limits.h"

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

static void test_an_address_in_s3_names_what_a_file_can_be_and_no_server(void **state)
{
    static const struct {
        const char *uri, *story;
    } cases[] = {
        {"s3://", "malformed s3:// source"},
        {"s3://b/k", "malformed s3:// source"},
        {"s3://bucket", "malformed s3:// source"},
        {"s3://bucket//k", "malformed s3:// source"},
        {"s3://bucket//", "malformed s3:// source"},
        {"s3://bucket/a//b", "malformed s3:// source"},
        {"s3://bucket/a/../b", "malformed s3:// source"},
        {"s3://bucket/./b", "malformed s3:// source"},
        {"s3://buc ket/b", "malformed s3:// source"},
        {"s3://user@host/b", "malformed s3:// source"},
        {"s3://bucket/k?endpoint=http://evil", "an s3:// source takes no parameter but versionId"},
        {"s3://bucket/k?profile=p&versionId=1", "an s3:// source takes no parameter but versionId"},
        {"s3://bucket/k?versionId=", "versionId of an s3:// source is malformed"},
        {"s3://bucket/k?versionId=1&endpoint=x", "versionId of an s3:// source is malformed"},
        {"s3://bucket/k?versionId=%zz", "versionId of an s3:// source is malformed"},
        {"s3://bucket/p/?versionId=1", "a prefix has no versionId"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_FREE char *text =
            sc_asprintf(HEAD "sources: {s: '%s'}\nsteps: {a: {run: ls}}\n", cases[i].uri);
        SC_AUTO_FREE char *story = sc_asprintf("3:14 document: %s", cases[i].story);
        const struct mistake mistake = {text, {story}};
        check_mistakes(*state, &mistake, 1);
    }
}

static void test_a_source_by_version_is_one_that_has_real_versions(void **state)
{
    static const struct mistake cases[] = {
        {HEAD "sources: {s: {uri: ./k, identity: version}}\nsteps: {a: {run: ls}}\n",
         {"3:35 document: identity: version is for s3:// sources, which have versions | "}},
        {HEAD "sources: {s: {identity: version, uri: 'file:///k'}}\nsteps: {a: {run: ls}}\n",
         {"3:25 document: identity: version is for s3:// sources, which have versions | "}},
        {HEAD "sources: {s: {uri: 's3://bkt/k?versionId=null', identity: version}}\nsteps: {a: {run: ls}}\n",
         {"3:59 document: identity: version needs a real version id, and \"null\" is none | "}},
        {HEAD "sources: {s: {uri: 's3://bkt/k', identity: versions}}\nsteps: {a: {run: ls}}\n",
         {"3:44 document: "}},
    };
    check_mistakes(*state, cases, SC_COUNT(cases));
}

static void test_what_is_not_built_is_refused_by_name_with_what_to_do(void **state)
{
    static const struct mistake cases[] = {
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, compiled_setup, compiled_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_unknown_keys_suggest_the_nearest),
        TEST(test_an_address_in_s3_names_what_a_file_can_be_and_no_server),
        TEST(test_a_source_by_version_is_one_that_has_real_versions),
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
