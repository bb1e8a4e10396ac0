/* What the server's files share: an answer of the table, a stream and a connection. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

#define KEPT (1 << 12)             /* bytes of a request that are looked at */
#define BUCKETS 1024
#define TABLE 4096                 /* bytes of HPACK's dynamic table, in both directions */
#define TABLE_ENTRIES (TABLE / 32)

typedef struct {
    char *key, *request, *answer;
    int key_len, request_len, times, pause, answer_len; /* pause: microseconds before each message of the answer */
} Answer;

typedef struct { char *data; size_t start, len, size; } Buffer;

typedef struct { Answer *answer; int left; } Pending;

typedef struct { char *name, *value; uint32_t name_len, value_len; } Header;

typedef struct {                   /* of the blocks received */
    Header entries[TABLE_ENTRIES];
    uint32_t start, len, size, limit;
} Decoder;

enum { CONTENT_TYPE, ACCEPT_ENCODING, STATUS_OK, FIELDS };

typedef struct {                   /* of the blocks sent */
    uint32_t limit, inserted, at[FIELDS]; /* at: how many entries there were when the field was inserted, 0: it was not */
    int changed;
} Encoder;

typedef struct Stream {
    uint32_t id, unacked;
    int64_t window;
    int first;                     /* the first answer with its path */
    int ended, begun, held;
    uint64_t due;                  /* when the next message of a paced answer is sent */
    uint8_t prefix[5];
    uint32_t prefix_len, message_left, kept_len;
    char kept[KEPT];
    Pending *queue;
    int queue_start, queue_len, queue_size;
    uint32_t offset;               /* sent of the message at the queue's start */
    struct Stream *next, *prev, *in_bucket;
} Stream;

typedef struct Connection {
    int fd, protocol, broken, blocked, writing;
    char *in;
    size_t in_len;
    Buffer out;
#ifdef TLS
    SSL *tls;
#endif
    /* HTTP/2 */
    int64_t window, initial_window;
    uint32_t max_frame, unacked, block_stream, block_flags;
    Buffer block;
    Decoder decoder;
    Encoder encoder;
    Stream *streams, *buckets[BUCKETS];
    /* HTTP/1.1 */
    size_t body_left;
    int answer;
} Connection;

extern Answer *answers;
extern int answer_count;

/* main.c */
char *room(Buffer *buffer, size_t more);
void put(Buffer *buffer, const void *data, size_t len);
void settle(Connection *c);

/* hpack.c */
void limit_encoder(Encoder *e, uint32_t limit);
void put_head(Encoder *e, Buffer *block);
void put_trailers(Encoder *e, Buffer *block, int known);
int read_block(Decoder *d, const uint8_t *at, const uint8_t *end, Header *path);
void forget_table(Decoder *d);

/* http2.c */
void greet(Connection *c);
size_t take_frames(Connection *c, const char *data, size_t len);
void pump_blocked(Connection *c);
void end_streams(Connection *c);
uint64_t next_due(void);
void send_due(void);

/* http1.c */
size_t take_requests(Connection *c, const char *data, size_t len);
