// The plan: a pipeline document compiled, validated and free of names that only its author needs. It is what a run
// executes, what is stored as an object and named by its digest, and what every reader of another format ends in.
// Plain structs; all slices and lists lie in the arena (or the bytes) it was made from. Immutable once made.
//
// A step is a template; its instances are the combinations of its matrix (one when it has none). An instance index
// counts the combinations in row-major order over the matrix keys, which are sorted by name, values as written.
#pragma once

#include "base/artifact.h"

#include <stdint.h>

enum sc_segment_kind {
    SC_SEGMENT_TEXT,   // text as it is
    SC_SEGMENT_IN,     // the path (or the value's text) of the input named by text
    SC_SEGMENT_OUT,    // the path of the output named by text
    SC_SEGMENT_VALUE,  // in a script only: a parameter's text, which the shell sees as a variable's value
    SC_SEGMENT_MATRIX, // the instance's value of the matrix key whose index is in `index`
    SC_SEGMENT_RUN,    // ${run.id}, ${run.name}, ${run.status}: text is "id" …; only where the cache is off
};

struct sc_segment {
    enum sc_segment_kind kind;
    uint32_t index; // of SC_SEGMENT_MATRIX
    struct sc_slice text;
};

// One argument, one environment value, or the whole script. Neighbouring texts are one segment, no text is empty: an
// empty argument has no segments.
struct sc_word {
    SC_LIST(struct sc_segment, segments);
};

enum sc_input_from { SC_FROM_SOURCE, SC_FROM_OUTPUT, SC_FROM_VALUE };

struct sc_plan_input {
    struct sc_slice name;
    enum sc_input_from from;
    uint32_t node; // index of the source or of the producing step
    uint32_t port; // index of the producer's output or value
    bool ignored;  // key.ignore took it out
};

struct sc_plan_output {
    struct sc_slice name;
    struct sc_slice path; // below out/, no leading or trailing slash
    bool dir;
};

struct sc_plan_value {
    struct sc_slice name;
    uint32_t output;         // index of the step's output (a file) that holds the JSON
    struct sc_slice pointer; // RFC 6901; empty is the whole document
};

struct sc_plan_env {
    struct sc_slice name;
    struct sc_word value;
    bool ignored;
};

struct sc_plan_axis { // of a matrix
    struct sc_slice name;
    sc_text_list values;
};

struct sc_plan_label {
    struct sc_slice name, value;
};

enum sc_environment_kind { SC_ENVIRONMENT_HOST, SC_ENVIRONMENT_ANY, SC_ENVIRONMENT_PROBE };
enum sc_sandbox { SC_SANDBOX_NONE, SC_SANDBOX_STRICT };
enum sc_network { SC_NETWORK_ON, SC_NETWORK_NONE };

// What a retry may be for (retry.on); bits of struct sc_plan_step.retry_on. The outcomes of proto/message.h map to them.
enum sc_retry_on {
    SC_RETRY_AGENT_LOST = 1 << 0,
    SC_RETRY_OUT_OF_MEMORY = 1 << 1,
    SC_RETRY_EXIT = 1 << 2,
    SC_RETRY_SIGNAL = 1 << 3,
    SC_RETRY_TIMEOUT = 1 << 4,
    SC_RETRY_OUTPUT_MISSING = 1 << 5,
    SC_RETRY_DISK_FULL = 1 << 6,
    SC_RETRY_INPUT_LOST = 1 << 7,
    SC_RETRY_STORE = 1 << 8,
};

// The order of the members is for size (a plan has up to 100,000 steps); the encoding's order is plan.c's.
struct sc_plan_step {
    struct sc_slice name;
    SC_LIST(struct sc_word, command);
    struct sc_digest code; // root digest of the code files under their relative paths; zero: no code
    SC_LIST(struct sc_plan_input, inputs); // sorted by name, as are the next three and the matrix
    SC_LIST(struct sc_plan_output, outputs);
    SC_LIST(struct sc_plan_value, values);
    SC_LIST(struct sc_plan_env, env);
    SC_LIST(struct sc_plan_axis, matrix);
    sc_text_list probes; // commands of a probe environment, in order
    struct sc_slice salt;
    sc_text_list ignored; // sorted names, as written in key.ignore
    SC_LIST(struct sc_plan_label, labels);
    SC_LIST(uint32_t, after); // step indexes: order alone
    SC_LIST(struct sc_plan_label,
            uses); // {"params.max_depth", "5"}: what was filled in, for explain; in no key
    const sc_text_list *code_patterns; // for the client that resolves `code`, NULL: none; not encoded
    int64_t expire_after_ms;           // when expires; 0: never valid
    uint64_t memory_bytes, disk_bytes; // 0: not declared
    int64_t retry_backoff_ms;          // of the first retry; doubles
    int64_t timeout_ms;                // 0: none
    enum sc_environment_kind environment;
    enum sc_sandbox sandbox;
    enum sc_network network;
    uint32_t cpus_milli; // 1000 is one; at least 1
    uint32_t gpus;
    uint32_t retry_attempts; // in all, the first included; 1: no retry
    uint32_t retry_on;       // bits of enum sc_retry_on
    uint32_t line;           // of the document; not encoded
    bool script;             // `run`: command holds one word, for /bin/sh -eu; else an argv
    bool cache_disabled;
    bool refresh; // cache.refresh: run again, replace
    bool expires;
    bool resources_keyed;
};

enum sc_source_kind { SC_SOURCE_LOCAL, SC_SOURCE_FILE, SC_SOURCE_S3 };

struct sc_plan_source {
    struct sc_slice name;
    enum sc_source_kind kind;
    // LOCAL: relative to the document's folder; FILE: absolute, seen by all agents; S3: s3://bucket/key, bytes as they are
    struct sc_slice path;
    bool dir;                    // written with a trailing slash
    struct sc_artifact artifact; // LOCAL: by the client before the plan is stored; else zero, an agent tells
    struct sc_slice version;     // S3: the version id that is wanted, or empty
    uint32_t line;               // of the document
    bool by_version; // S3: keyed by version ids; its bytes are read where a step that takes it runs
};

// Whether nothing but what it says lies under a path: no part is "..".
bool sc_plan_path_stays(struct sc_slice path);
// An S3 source's path into its bucket and key (without a slash at its end; empty: all of the bucket). False when it is none:
// each part of a key must be the name of a file.
bool sc_plan_s3_place(struct sc_slice path, struct sc_slice *ret_bucket, struct sc_slice *ret_key);

struct sc_plan_publish {
    struct sc_slice name;
    uint32_t step, output;
};

struct sc_plan {
    uint32_t version; // 1
    struct sc_slice name;
    struct sc_slice namespace_;            // "default" when the document has none
    SC_LIST(struct sc_plan_label, params); // every parameter and its value's text, sorted; for show and diff
    SC_LIST(struct sc_plan_source, sources);
    SC_LIST(struct sc_plan_step,
            steps); // in topological order of the document: a step's needs have lower indexes
    SC_LIST(struct sc_plan_publish, outputs);
};

extern const struct sc_schema sc_schema_plan; // "plan", positional
extern const struct sc_schema sc_schema_word; // for assignments

void sc_plan_encode(const struct sc_plan *plan, struct sc_buf *out);
// Strict; checks everything sc_plan_is_valid checks. The bytes must outlive the plan.
SC_MUST_USE enum sc_rc sc_plan_decode(struct sc_slice bytes, struct sc_arena *arena,
                                      struct sc_plan **ret_plan, struct sc_error *err);
// Indexes in range, needs before their users, names well-formed and sorted, limits kept.
SC_MUST_USE enum sc_rc sc_plan_check(const struct sc_plan *plan, struct sc_error *err);

// The number of a step's instances: the product of its matrix.
uint32_t sc_plan_instances(const struct sc_plan_step *step);
// The value of matrix axis `axis` in an instance.
struct sc_slice sc_plan_matrix_value(const struct sc_plan_step *step, uint32_t instance, uint32_t axis);
// "depth=3,lr=0.1", with , = [ ] / % percent-encoded: also the entry's name in a fan-in folder. Empty without a matrix.
void sc_plan_instance_label(const struct sc_plan_step *step, uint32_t instance, struct sc_buf *out);
// "train" or "train[depth=3,lr=0.1]".
void sc_plan_instance_name(const struct sc_plan_step *step, uint32_t instance, struct sc_buf *out);
// The inverse: finds a step, or an instance of it; `*ret_all` tells that the name is a bare step's with a matrix.
bool sc_plan_find(const struct sc_plan *plan, struct sc_slice name, uint32_t *ret_step,
                  uint32_t *ret_instance, bool *ret_all);
// The digest of the plan's shape: steps, edges, commands' symbolic form, matrix axes, output paths, without names of
// pipeline, namespace and parameters, without parameter values, code and source digests. Segments are filed under it.
struct sc_digest sc_plan_template(const struct sc_plan *plan);
