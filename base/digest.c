#include "base/digest.h"

#include "base/memory.h"

#include <openssl/evp.h>
#include <pthread.h>

struct sc_hasher {
    EVP_MD_CTX *ctx;
};

static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_hasher_key;

static void free_thread_hasher(void *hasher)
{
    sc_hasher_free(hasher);
}

// A constant after its first use, like a table: fetched once because a fetch costs more than a small hash.
static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    SC_ASSERT(sha256 != NULL);
    SC_ASSERT(pthread_key_create(&thread_hasher_key, free_thread_hasher) == 0);
}

struct sc_hasher *sc_hasher_new(void)
{
    pthread_once(&sha256_once, fetch);
    struct sc_hasher *hasher = sc_calloc(1, sizeof *hasher);
    hasher->ctx = EVP_MD_CTX_new();
    SC_ASSERT(hasher->ctx != NULL);
    return hasher;
}

void sc_hasher_free(struct sc_hasher *hasher)
{
    if (!hasher)
        return;
    EVP_MD_CTX_free(hasher->ctx);
    free(hasher);
}

void sc_hasher_begin(struct sc_hasher *hasher)
{
    SC_ASSERT(EVP_DigestInit_ex2(hasher->ctx, sha256, NULL) == 1);
}

void sc_hasher_add(struct sc_hasher *hasher, const void *bytes, size_t len)
{
    if (len)
        SC_ASSERT(EVP_DigestUpdate(hasher->ctx, bytes, len) == 1);
}

struct sc_digest sc_hasher_end(struct sc_hasher *hasher)
{
    struct sc_digest digest;
    SC_ASSERT(EVP_DigestFinal_ex(hasher->ctx, digest.bytes, NULL) == 1);
    return digest;
}

struct sc_digest sc_digest_of(struct sc_slice bytes)
{
    pthread_once(&sha256_once, fetch);
    struct sc_hasher *hasher = pthread_getspecific(thread_hasher_key);
    if (!hasher) {
        hasher = sc_hasher_new();
        SC_ASSERT(pthread_setspecific(thread_hasher_key, hasher) == 0);
    }
    sc_hasher_begin(hasher);
    sc_hasher_add(hasher, bytes.ptr, bytes.len);
    return sc_hasher_end(hasher);
}

void sc_digest_hex(const struct sc_digest *digest, char ret_hex[SC_DIGEST_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SC_DIGEST_BYTES; i++) {
        ret_hex[2 * i] = digits[digest->bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    ret_hex[2 * SC_DIGEST_BYTES] = 0;
}

static int nibble(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sc_digest_parse(struct sc_slice hex, struct sc_digest *ret_digest)
{
    struct sc_digest digest;
    if (hex.len != 2 * SC_DIGEST_BYTES)
        return false;
    for (int i = 0; i < SC_DIGEST_BYTES; i++) {
        int high = nibble(hex.ptr[2 * i]), low = nibble(hex.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_digest = digest;
    return true;
}
