// Requests to the store, of this coordinator and its agents, over all its lives: for their price. A file in the state folder
// keeps what was counted; what a killed life counted in its last minute is lost. Any thread.
#pragma once

#include "base/rc.h"
#include "proto/message.h"

struct sc_spending;

// Millionths of a price, in whatever currency: of 1,000 requests, and of a GiB that is kept for a month.
struct sc_tariff {
    uint64_t put, get, storage;
};
// S3 Standard in us-east-1, in US dollars.
#define SC_TARIFF_USUAL ((struct sc_tariff){.put = 5000, .get = 400, .storage = 23000})

struct sc_spending *sc_spending_open(const char *file); // absent or damaged: from now on
void sc_spending_close(struct sc_spending *spending);   // writes the file
// What an agent sent since it last told. Now and then the file is written.
void sc_spending_add(struct sc_spending *spending, const struct sc_requests *more);
// ret_since_ms: wall, when the count began.
struct sc_requests sc_spending_sum(struct sc_spending *spending, int64_t *ret_since_ms);
