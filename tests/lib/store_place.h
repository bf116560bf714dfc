// Where the store of a test lies: a folder of the test's own, or, in a program that was called with "s3" or "libs3", a prefix of its
// own below $STEPCACHE_S3 (an s3:// URL of a bucket that the tests may write to).
#pragma once

#include <stdbool.h>

// For main: false when the program must be skipped (exit code 77), since no endpoint is given.
bool sc_store_place_choose(int argc, char **argv);
bool sc_store_place_is_s3(void);
bool sc_store_place_is_libs3(void); // of those, by client=libs3
// A new store's URL, or its folder's path; the caller frees it with sc_store_place_remove.
char *sc_store_place_new(const char *scratch);
void sc_store_place_remove(char *url);
