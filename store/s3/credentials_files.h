// What AWS's shared config and credentials files say, and how they say it: sections of `name = value`, and command lines
// of words. The rules are those of the AWS SDKs and Tools Reference Guide ("Shared config and credentials files") and of
// botocore, which the AWS CLI reads them with. Pure but for sc_s3_file_load.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum sc_s3_file_kind {
    SC_S3_CONFIG,      // [default] and [profile NAME]; other sections are something else and passed over
    SC_S3_CREDENTIALS, // [NAME]
};

struct sc_s3_setting {
    struct sc_slice name, value;
    struct sc_s3_setting *next; // the one before it in the file
};
struct sc_s3_section {
    struct sc_slice profile;
    bool prefixed; // [profile default], which makes [default] of a config file count for nothing
    struct sc_s3_setting *settings;
    struct sc_s3_section *next;
};
struct sc_s3_file {
    enum sc_s3_file_kind kind;
    const char *shown; // as people write it, "~/.aws/config"
    bool found;
    struct sc_buf text;    // what all slices point into
    struct sc_arena arena; // holds no secrets
    struct sc_s3_section *sections;
};

// Empty: no profile in it. The text is borrowed.
void sc_s3_file_init(struct sc_s3_file *file, enum sc_s3_file_kind kind);
void sc_s3_file_done(struct sc_s3_file *file); // cleanses the text
// Reads the file that `variable` names or, when that is empty, ~/.aws/config or ~/.aws/credentials. SC_OK also when it is
// not there, or no regular file (AWS's tools pass over both): `found` tells. An error names file and line, never what
// stands there, since that may be a secret.
SC_MUST_USE enum sc_rc sc_s3_file_load(struct sc_s3_file *file, struct sc_error *err);
// The sections of a text that outlives the file. SC_MALFORMED with the line.
SC_MUST_USE enum sc_rc sc_s3_file_parse(struct sc_s3_file *file, struct sc_slice text, struct sc_error *err);
bool sc_s3_file_has(const struct sc_s3_file *file, struct sc_slice profile);
// A setting of a profile, in any case of its name; the last one in the file wins. Empty when there is none.
struct sc_slice sc_s3_file_value(const struct sc_s3_file *file, struct sc_slice profile, const char *name);

// A path as a user writes it in a variable or a file: a leading ~ is HOME. In the arena.
const char *sc_s3_path(struct sc_arena *arena, struct sc_slice text);
// Splits a command line as a POSIX shell would, with quotes and backslashes and nothing else: no variables, no patterns,
// no comments (Python's shlex.split). The words end with a NULL. SC_MALFORMED when a quote is left open or there is a NUL.
SC_MUST_USE enum sc_rc sc_s3_words(struct sc_slice text, struct sc_arena *arena, char ***ret_words,
                                   size_t *ret_count, struct sc_error *err);
