// store/records.h for files that know pipeline/plan.h too: both name a `struct sc_segment`. The store's is renamed here, for the
// compiler alone, until the store's own header does so.
#pragma once

#include "pipeline/plan.h"

#define sc_segment sc_record_segment
#include "store/records.h"
#undef sc_segment
