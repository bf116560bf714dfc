// Every bound in one place. A queue, loop, name or DAG that is not bounded here is a defect. Sizes in bytes.
#pragma once

#define SC_LIMIT_BUF_BYTES (1024u << 20) // any growing buffer that names no bound of its own

// The pipeline document (1-PRODUCT, limits).
#define SC_LIMIT_DOCUMENT_BYTES   (64u << 20)
#define SC_LIMIT_DOCUMENT_DEPTH   32
#define SC_LIMIT_DOCUMENT_ERRORS  20 // reported at once; then "and more"
#define SC_LIMIT_NAME_BYTES       63 // [a-z0-9][a-z0-9-]{0,62} for pipelines; the same length for other names
#define SC_LIMIT_STEP_INSTANCES   100000
#define SC_LIMIT_INPUTS           1000
#define SC_LIMIT_OUTPUTS          1000
#define SC_LIMIT_MATRIX_INSTANCES 10000
#define SC_LIMIT_CODE_BYTES       (100u << 20)
#define SC_LIMIT_CODE_FILES       10000
#define SC_LIMIT_VALUE_BYTES      (64u << 10)
#define SC_LIMIT_PLAN_BYTES       (512u << 20)

// Digests, trees, records.
#define SC_LIMIT_TREE_ENTRIES       10000000 // files and folders of one tree
#define SC_LIMIT_TREE_DEPTH         256
#define SC_LIMIT_TREE_BYTES         (1024u << 20)
#define SC_LIMIT_FILENAME_BYTES     255
#define SC_LIMIT_PATH_BYTES         4096
#define SC_LIMIT_RECORD_BYTES       (1u << 20)
#define SC_LIMIT_GENERATION         UINT64_C(1000000000000) // of the records of one key
#define SC_LIMIT_SEGMENT_BYTES      (8u << 20)              // of one part, compressed
#define SC_LIMIT_FIELD_INLINE_BYTES 256  // a key field longer than this stands in the record as its digest
#define SC_LIMIT_INLINE_BYTES       2048 // of an artifact
#define SC_LIMIT_LOG_INLINE_BYTES   (16u << 10) // of a stored log
#define SC_LIMIT_LOG_BYTES          (1024u << 20) // of one stream of one attempt; what is beyond is cut, and said
#define SC_LIMIT_LOG_AGAIN_BYTES    (8u << 20) // of a stream that goes on, told to whoever comes late
#define SC_LIMIT_LOG_TAIL_BYTES     4096       // the last lines, shown with a failure

// S3 (its own limits, and ours on what a server answers).
#define SC_LIMIT_KEY_BYTES        1024 // of a whole key; UTF-8
#define SC_LIMIT_KEY_PREFIX_BYTES 512  // of a store's prefix, so that every name below it fits
#define SC_LIMIT_S3_TEXT_BYTES                                                                               \
    (8u << 20) // of an answer in XML: 1,000 keys, each byte escaped, and what is around them
#define SC_LIMIT_S3_LIST_KEYS        1000
#define SC_LIMIT_S3_PARTS            10000      // of one multipart upload
#define SC_LIMIT_S3_PROFILES_BYTES   (1u << 20) // of a shared config or credentials file
#define SC_LIMIT_S3_ANSWER_BYTES     (64u << 10) // of what a metadata service, STS or a credential_process says
#define SC_LIMIT_S3_CREDENTIAL_BYTES (32u << 10) // of a key, a secret or a token

#define SC_LIMIT_SOURCE_OBJECTS 1000000 // below the prefix of one source
#define SC_LIMIT_PINNED_OBJECTS 200000  // whose digests an agent remembers
#define SC_LIMIT_ETAG_BYTES     1024    // of an etag or a version id

// Messages (3-FORMATS).
#define SC_LIMIT_MESSAGE_AGENT_BYTES (8u << 20)
#define SC_LIMIT_MESSAGE_USER_BYTES  (1u << 20)
#define SC_LIMIT_MESSAGE_DEPTH       16
#define SC_LIMIT_CHUNK_BYTES         (512u << 10) // of an object put through the coordinator
#define SC_LIMIT_BATCH_KEYS          1000         // keys of one look_up
#define SC_LIMIT_BATCH_ASSIGN        64           // assignments of one message
#define SC_LIMIT_PEER_QUEUE_BYTES    (64u << 20)  // waiting for one slow peer; then it is dropped
#define SC_LIMIT_PEERS               4096

// Runs.
#define SC_LIMIT_RUNS_OPEN           1000
#define SC_LIMIT_HEALS               2    // of one key in one run
#define SC_LIMIT_ENVIRONMENT_CHANGES 3    // under one step of a run
#define SC_LIMIT_ATTEMPTS            100  // retry.max_attempts at most
#define SC_LIMIT_GRACE_MS            5000 // of a step that is told to end: between TERM and KILL

_Static_assert(SC_LIMIT_CHUNK_BYTES < SC_LIMIT_MESSAGE_USER_BYTES, "a chunk fits a user's message");
_Static_assert(SC_LIMIT_LOG_INLINE_BYTES < SC_LIMIT_RECORD_BYTES, "inline logs fit a record");
