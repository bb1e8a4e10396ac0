/* HTTP/2 as a gRPC server needs it: streams, windows, and answers that are due at their times. */
#include "server.h"

#define OUT_LIMIT (1 << 20)        /* more than this is not put into a connection's buffer at once */
#define FRAME_SIZE (1 << 18)       /* the largest frame taken */
#define WINDOW (1 << 26)
#define UPDATE_AT (1 << 20)
#define STREAMS 8192               /* the most of a connection at once, as it is told */
#define FEW 16384                  /* the most paced streams at once */
#define GOLDEN 0.6180339887        /* its multiples fill a unit evenly */

/* -- frames ----------------------------------------------------------------------------------------------------- */

static uint32_t number(const char *at) { uint32_t value; memcpy(&value, at, 4); return ntohl(value); }

static void put_frame(Connection *c, uint32_t len, int type, int flags, uint32_t stream) {
    uint8_t head[9] = {len >> 16, len >> 8, len, type, flags, stream >> 24, stream >> 16, stream >> 8, stream};
    put(&c->out, head, 9);
}

static void put_update(Connection *c, uint32_t stream, uint32_t more) {
    uint32_t data = htonl(more);
    put_frame(c, 4, 8, 0, stream);
    put(&c->out, &data, 4);
}

static void put_block(Connection *c, Buffer *block, int flags, uint32_t stream) {
    put_frame(c, block->len, 1, flags, stream);
    put(&c->out, block->data, block->len);
    block->len = 0;
}

void greet(Connection *c) {
    static const uint8_t settings[] = {
        0, 3, 0, 0, STREAMS >> 8, 0, 0, 4, WINDOW >> 24, 0, 0, 0, 0, 5, 0, FRAME_SIZE >> 16, 0, 0};
    c->max_frame = 16384, c->window = c->initial_window = 65535, c->decoder.limit = c->encoder.limit = TABLE;
    put_frame(c, sizeof settings, 4, 0, 0);
    put(&c->out, settings, sizeof settings);
    put_update(c, 0, WINDOW);
}

/* -- streams ---------------------------------------------------------------------------------------------------- */

static struct { Connection *c; Stream *s; } held[FEW];
static int held_count;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000ull + time.tv_nsec / 1000;
}

static void hold(Connection *c, Stream *s) {
    if (s->held || held_count == FEW) return;
    held[held_count].c = c, held[held_count].s = s;
    s->held = ++held_count;
}

static void release(Stream *s) {
    if (!s->held) return;
    held[s->held - 1] = held[--held_count];
    held[s->held - 1].s->held = s->held;
    s->held = 0;
}

static Stream **bucket(Connection *c, uint32_t id) {
    Stream **at = &c->buckets[(id >> 1) % BUCKETS];
    while (*at && (*at)->id != id) at = &(*at)->in_bucket;
    return at;
}

static void end_stream(Connection *c, Stream *s) {
    release(s);
    *bucket(c, s->id) = s->in_bucket;
    if (s->next) s->next->prev = s->prev;
    if (s->prev) s->prev->next = s->next; else c->streams = s->next;
    free(s->queue);
    free(s);
}

void end_streams(Connection *c) { while (c->streams) end_stream(c, c->streams); }

static Buffer block;

static void respond(Connection *c, Stream *s) {
    if (s->begun) return;
    s->begun = 1;
    put_head(&c->encoder, &block);
    put_block(c, &block, 4, s->id);
}

/* Sends what the windows, the buffer and the time allow; ends the stream where all is said. */
static void pump(Connection *c, Stream *s) {
    while (s->queue_len) {
        Pending *pending = &s->queue[s->queue_start];
        int pause = pending->answer->pause;
        if (pause && !s->offset && now() < s->due) { respond(c, s); hold(c, s); return; }
        if (c->out.len > OUT_LIMIT || c->window <= 0 || s->window <= 0) { c->blocked = 1; return; }
        respond(c, s);
        uint32_t len = pending->answer->answer_len - s->offset;
        if (len > c->max_frame) len = c->max_frame;
        if (len > c->window) len = c->window;
        if (len > s->window) len = s->window;
        put_frame(c, len, 0, 0, s->id);
        put(&c->out, pending->answer->answer + s->offset, len);
        c->window -= len, s->window -= len, s->offset += len;
        if (s->offset == (uint32_t)pending->answer->answer_len) {
            s->offset = 0, s->due += pause;
            if (--pending->left == 0) s->queue_start++, s->queue_len--;
        }
    }
    s->queue_start = 0;
    if (!s->ended) return;
    respond(c, s);
    put_trailers(&c->encoder, &block, s->first >= 0);
    put_block(c, &block, 5, s->id);
    end_stream(c, s);
}

void pump_blocked(Connection *c) {
    if (!c->blocked) return;
    c->blocked = 0;
    for (Stream *s = c->streams, *next; s; s = next) next = s->next, pump(c, s);
}

static int first_due(void) {
    int first = 0;
    for (int i = 1; i < held_count; i++) if (held[i].s->due < held[first].s->due) first = i;
    return first;
}

/* The microsecond at which something is to be sent; 0 for none. */
uint64_t next_due(void) { return held_count ? held[first_due()].s->due : 0; }

void send_due(void) {
    uint64_t time = now();
    for (int i; held_count && held[i = first_due()].s->due <= time;) {
        Connection *c = held[i].c;
        Stream *s = held[i].s;
        release(s);
        pump(c, s);
        settle(c);
    }
}

/* -- messages --------------------------------------------------------------------------------------------------- */

static void enqueue(Stream *s, Answer *answer) {
    static unsigned int started;
    if (s->queue_start + s->queue_len == s->queue_size) {
        if (s->queue_len) memmove(s->queue, s->queue + s->queue_start, s->queue_len * sizeof *s->queue);
        s->queue_start = 0;
        if (s->queue_len * 2 >= s->queue_size) {
            s->queue_size = 2 * s->queue_size + 4;
            s->queue = realloc(s->queue, s->queue_size * sizeof *s->queue);
        }
    }
    if (answer->pause && !s->queue_len) { /* streams that start together do not speak together */
        double part = GOLDEN * started++;
        s->due = now() + (uint64_t)(answer->pause * (part - (unsigned int)part));
    }
    s->queue[s->queue_start + s->queue_len++] = (Pending){answer, answer->times};
}

static void message(Stream *s) {
    for (int i = s->first; i >= 0 && i < answer_count; i++) {
        Answer *a = &answers[i], *first = &answers[s->first];
        if (a->key_len != first->key_len || memcmp(a->key, first->key, a->key_len)) continue;
        if (a->request_len >= 0 &&
            (a->request_len != (int)s->kept_len || memcmp(a->request, s->kept, s->kept_len))) continue;
        enqueue(s, a);
        return;
    }
}

static void take_data(Stream *s, const char *data, uint32_t len) {
    while (len) {
        if (s->prefix_len < 5) {
            s->prefix[s->prefix_len++] = *data++, len--;
            if (s->prefix_len < 5) continue;
            s->message_left = number((char *)s->prefix + 1);
            s->kept_len = 0;
        }
        uint32_t part = len < s->message_left ? len : s->message_left;
        uint32_t keep = part < KEPT - s->kept_len ? part : KEPT - s->kept_len;
        memcpy(s->kept + s->kept_len, data, keep);
        s->kept_len += keep, s->message_left -= part, data += part, len -= part;
        if (!s->message_left) message(s), s->prefix_len = 0;
    }
}

/* -- what the client sends -------------------------------------------------------------------------------------- */

static void start_stream(Connection *c) {
    Header path = {.value_len = 0};
    uint32_t id = c->block_stream;
    int read = read_block(&c->decoder, (uint8_t *)c->block.data, (uint8_t *)c->block.data + c->block.len, &path);
    c->block.len = c->block_stream = 0;
    if (!read) { fprintf(stderr, "a header block was not understood\n"); c->broken = 1; return; }
    if (*bucket(c, id)) return; /* trailers; a client of gRPC sends none */
    Stream *s = calloc(1, sizeof *s);
    s->id = id, s->first = -1, s->window = c->initial_window, s->ended = c->block_flags & 1;
    for (int i = 0; i < answer_count && s->first < 0; i++)
        if (answers[i].key_len == (int)path.value_len && !memcmp(answers[i].key, path.value, path.value_len))
            s->first = i;
    if (c->streams) c->streams->prev = s;
    s->next = c->streams, c->streams = s;
    *bucket(c, id) = s;
    if (s->first < 0) s->ended = 1;
    if (s->ended) pump(c, s);
}

static void data_frame(Connection *c, uint32_t id, int flags, const char *data, uint32_t len) {
    if ((c->unacked += len) >= UPDATE_AT) put_update(c, 0, c->unacked), c->unacked = 0;
    Stream *s = *bucket(c, id);
    if (!s) return;
    uint32_t padding = flags & 8 && len ? (uint8_t)*data : 0, extra = flags & 8 ? 1 : 0;
    if (extra + padding > len) { c->broken = 1; return; }
    take_data(s, data + extra, len - extra - padding);
    if (flags & 1) s->ended = 1;
    else if ((s->unacked += len) >= UPDATE_AT) put_update(c, id, s->unacked), s->unacked = 0;
    if (!s->held) pump(c, s);
}

static void settings_frame(Connection *c, const char *data, uint32_t len) {
    for (; len >= 6; data += 6, len -= 6) {
        int name = (uint8_t)data[0] << 8 | (uint8_t)data[1];
        uint32_t value = number(data + 2);
        if (name == 1) limit_encoder(&c->encoder, value);
        if (name == 5) c->max_frame = value;
        if (name != 4) continue;
        for (Stream *s = c->streams; s; s = s->next) s->window += (int64_t)value - c->initial_window;
        c->initial_window = value;
    }
    put_frame(c, 0, 4, 1, 0);
    pump_blocked(c);
}

static void headers_frame(Connection *c, uint32_t id, int flags, const char *data, uint32_t len) {
    uint32_t front = (flags & 8 ? 1 : 0) + (flags & 32 ? 5 : 0), back = flags & 8 && len ? (uint8_t)*data : 0;
    if (front + back > len) { c->broken = 1; return; }
    c->block_stream = id, c->block_flags = flags;
    put(&c->block, data + front, len - front - back);
}

static void frame(Connection *c, int type, int flags, uint32_t id, const char *data, uint32_t len) {
    if (type == 0) data_frame(c, id, flags, data, len);
    else if (type == 1) headers_frame(c, id, flags, data, len);
    else if (type == 9) put(&c->block, data, len);
    else if (type == 3) { Stream *s = *bucket(c, id); if (s) end_stream(c, s); }
    else if (type == 4 && !(flags & 1)) settings_frame(c, data, len);
    else if (type == 6 && !(flags & 1) && len == 8) put_frame(c, 8, 6, 1, 0), put(&c->out, data, 8);
    else if (type == 8 && len == 4) {
        Stream *s = id ? *bucket(c, id) : NULL;
        if (s) s->window += number(data); else if (!id) c->window += number(data);
        pump_blocked(c);
    }
    if ((type == 1 || type == 9) && flags & 4) start_stream(c);
}

size_t take_frames(Connection *c, const char *data, size_t len) {
    size_t used = 0;
    while (len - used >= 9 && !c->broken) {
        const char *head = data + used;
        uint32_t size = number(head) >> 8;
        if (size > FRAME_SIZE) { c->broken = 1; break; }
        if (len - used < 9 + size) break;
        frame(c, head[3], head[4], number(head + 5) & 0x7fffffff, head + 9, size);
        used += 9 + size;
    }
    return used;
}
