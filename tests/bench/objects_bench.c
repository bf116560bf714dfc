// Artifacts to a store and back, as agents and clients move them: hashing, asking what is there, packs, transfers, checks.
//   objects_bench URL up PATH                     hashes a file or a folder and puts it; prints "file DIGEST" or "dir DIGEST"
//   objects_bench URL down file|dir DIGEST DEST   writes it to DEST, which must not exist
// Then a line of what was sent. Who calls measures time and memory.
#include "base/memory.h"
#include "store/object.h"

#include <stdio.h>
#include <sys/stat.h>

static enum sc_rc put_file(struct sc_objects *objects, const char *path, struct sc_artifact *ret_artifact,
                           struct sc_error *err)
{
    enum sc_rc rc = sc_hash_file(path, NULL, ret_artifact, err);
    return rc == SC_OK ? sc_objects_put_file(objects, path, ret_artifact, false, false, err) : rc;
}

static enum sc_rc put_dir(struct sc_objects *objects, const char *path, struct sc_artifact *ret_artifact,
                          struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_tree tree;
    sc_arena_init(&arena);
    enum sc_rc rc = sc_hash_dir(path, NULL, &arena, &tree, err);
    if (rc != SC_OK)
        return rc;
    *ret_artifact = (struct sc_artifact){.kind = SC_ARTIFACT_DIR, .digest = tree.nodes.items[0].digest};
    return sc_objects_put_tree(objects, path, &tree, false, false, err);
}

static enum sc_rc up(struct sc_objects *objects, const char *path, struct sc_error *err)
{
    struct stat st;
    if (stat(path, &st))
        return sc_error_set(err, SC_NOT_FOUND, "%s is not there", path);
    struct sc_artifact artifact;
    enum sc_rc rc = (S_ISDIR(st.st_mode) ? put_dir : put_file)(objects, path, &artifact, err);
    if (rc == SC_OK)
        rc = sc_objects_sync(objects, err);
    if (rc != SC_OK)
        return rc;
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(&artifact.digest, hex);
    printf("%s %s\n", artifact.kind == SC_ARTIFACT_DIR ? "dir" : "file", hex);
    return SC_OK;
}

static enum sc_rc down(struct sc_objects *objects, const char *kind, const char *hex, const char *dest,
                       struct sc_error *err)
{
    struct sc_artifact artifact = {.kind = strcmp(kind, "dir") == 0 ? SC_ARTIFACT_DIR : SC_ARTIFACT_FILE};
    if (!sc_digest_parse(sc_slice_str(hex), &artifact.digest))
        return sc_error_set(err, SC_INVALID, "%s is no digest", hex);
    return sc_objects_extract(objects, &artifact, dest, err);
}

int main(int argc, char **argv)
{
    struct sc_objects_config config = {.domain = sc_slice_str("main")};
    struct sc_objects *objects = NULL;
    struct sc_error err = SC_ERROR_INIT;
    bool goes_up = argc == 4 && strcmp(argv[2], "up") == 0;
    if (!goes_up && (argc != 6 || strcmp(argv[2], "down") != 0)) {
        fprintf(stderr, "usage: objects_bench URL up PATH | down file|dir DIGEST DEST\n");
        return 2;
    }
    enum sc_rc rc = sc_store_open(argv[1], &config.store, &err);
    if (rc == SC_OK)
        rc = sc_objects_new(&config, &objects, &err);
    if (rc == SC_OK)
        rc = goes_up ? up(objects, argv[3], &err) : down(objects, argv[3], argv[4], argv[5], &err);
    if (rc == SC_OK) {
        struct sc_store_counts counts = sc_store_counts(config.store);
        printf("sent %llu bytes, %llu repetitions\n", (unsigned long long)counts.bytes_in,
               (unsigned long long)counts.retries);
    } else {
        fprintf(stderr, "objects_bench: %s (%s)%s%s\n", err.message, sc_rc_name(rc), err.hint[0] ? "; " : "",
                err.hint);
    }
    sc_objects_free(objects);
    sc_store_close(config.store);
    return rc == SC_OK ? 0 : 1;
}
