// Runs a fuzz target over every file of the folders and files that are its arguments, in order of their names: what a
// fuzzer once found stays found, in every ordinary test run. Prints one TAP line in all.
#include "base/os/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&bytes, 0);
    if (sc_file_read(path, 64u << 20, &bytes, &err) != SC_OK) {
        printf("Bail out! %s\n", err.message);
        return 1;
    }
    // A copy of exactly its size, so that a read past the end is seen by the sanitizer.
    SC_AUTO_FREE uint8_t *copy = sc_calloc(bytes.len ? bytes.len : 1, 1);
    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    fprintf(stderr, "replay: %s\n", path);
    LLVMFuzzerTestOneInput(copy, bytes.len);
    return 0;
}

static int run_folder(const char *path, int *ret_files)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice *names;
    size_t count;
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sc_arena_init(&arena);
    if (fd < 0 || sc_dir_names(fd, &arena, &names, &count, &err) != SC_OK) {
        printf("Bail out! no corpus folder %s\n", path);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        SC_AUTO_FREE char *file = sc_asprintf("%s/" SC_SLICE_FMT, path, SC_SLICE_ARG(names[i]));
        if (run_file(file) != 0)
            return 1;
        ++*ret_files;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        bool folder = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        if (folder ? run_folder(argv[i], &files) != 0 : run_file(argv[i]) != 0)
            return 1;
        files += !folder;
    }
    if (files == 0) {
        printf("Bail out! the corpus is empty\n");
        return 1;
    }
    printf("1..1\nok 1 - the corpus of %d files replays\n", files);
    return 0;
}
