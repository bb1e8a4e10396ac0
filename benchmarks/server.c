/* A server that costs next to nothing: fixed answers over gRPC (HTTP/2 without TLS) and HTTP/1.1, on one port.
 *
 * A server in Python is busy before its client is, and hides what the client costs. This one speaks just enough. It
 * reads a table of answers from its standard input, tells its port in a line of its standard output, and ends when
 * the input does. All numbers of the table are 32 bits, little endian; the table is
 *     count, then for each answer: length, key; length, request (-1: any); times; length, answer
 * A key is a gRPC path, or "METHOD /path" for a whole HTTP/1.1 answer. Each gRPC request message that fits is answered
 * with `times` messages, and the stream ends when the client's does: that is right for all kinds but streams in.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include <unistd.h>

#define IN_SIZE (1 << 20)
#define OUT_LIMIT (1 << 20)    /* more than this is not put into a connection's buffer at once */
#define FRAME_SIZE (1 << 18)   /* the largest frame taken */
#define WINDOW (1 << 26)
#define UPDATE_AT (1 << 20)
#define KEPT (1 << 12)         /* bytes of a request that are looked at */
#define BUCKETS 1024

typedef struct { char *key, *request, *answer; int key_len, request_len, times, answer_len; } Answer;

typedef struct { char *data; size_t start, len, size; } Buffer;

typedef struct { Answer *answer; int left; } Pending;

typedef struct Stream {
    uint32_t id;
    int64_t window;
    uint32_t unacked;
    int first;                     /* the first answer with its path */
    int ended, begun;
    uint8_t prefix[5];
    uint32_t prefix_len, message_left, kept_len;
    char kept[KEPT];
    Pending *queue;
    int queue_start, queue_len, queue_size;
    uint32_t offset;               /* sent of the message at the queue's start */
    struct Stream *next, *prev, *in_bucket;
} Stream;

typedef struct { char *name, *value; uint32_t name_len, value_len; } Header;

typedef struct {
    int fd, protocol, broken, blocked, writing;
    char *in;
    size_t in_len;
    Buffer out;
    /* HTTP/2 */
    int64_t window, initial_window;
    uint32_t max_frame, unacked, block_stream, block_flags, table_size, table_max;
    Buffer block;
    Header table[256];
    int table_start, table_len;
    Stream *streams, *buckets[BUCKETS];
    /* HTTP/1.1 */
    size_t body_left;
    int answer;
} Connection;

static Answer *answers;
static int answer_count, poll_fd;

/* -- buffers ---------------------------------------------------------------------------------------------------- */

static char *room(Buffer *buffer, size_t more) {
    if (buffer->start && buffer->start + buffer->len + more > buffer->size) {
        memmove(buffer->data, buffer->data + buffer->start, buffer->len);
        buffer->start = 0;
    }
    if (buffer->len + more > buffer->size) {
        buffer->size = 2 * buffer->size + more;
        buffer->data = realloc(buffer->data, buffer->size);
    }
    char *place = buffer->data + buffer->start + buffer->len;
    buffer->len += more;
    return place;
}

static void put(Buffer *buffer, const void *data, size_t len) { memcpy(room(buffer, len), data, len); }

static void put_frame(Connection *c, uint32_t len, int type, int flags, uint32_t stream) {
    uint8_t head[9] = {len >> 16, len >> 8, len, type, flags, stream >> 24, stream >> 16, stream >> 8, stream};
    put(&c->out, head, 9);
}

static void put_update(Connection *c, uint32_t stream, uint32_t more) {
    uint32_t data = htonl(more);
    put_frame(c, 4, 8, 0, stream);
    put(&c->out, &data, 4);
}

static uint32_t number(const char *at) { uint32_t value; memcpy(&value, at, 4); return ntohl(value); }

/* -- streams ---------------------------------------------------------------------------------------------------- */

static Stream **bucket(Connection *c, uint32_t id) {
    Stream **at = &c->buckets[(id >> 1) % BUCKETS];
    while (*at && (*at)->id != id) at = &(*at)->in_bucket;
    return at;
}

static void end_stream(Connection *c, Stream *s) {
    *bucket(c, s->id) = s->in_bucket;
    if (s->next) s->next->prev = s->prev;
    if (s->prev) s->prev->next = s->next; else c->streams = s->next;
    free(s->queue);
    free(s);
}

static void respond(Connection *c, Stream *s) {
    /* :status 200, content-type */
    static const char block[] = "\x88\x0f\x10\x10" "application/grpc";
    if (s->begun) return;
    s->begun = 1;
    put_frame(c, sizeof block - 1, 1, 4, s->id);
    put(&c->out, block, sizeof block - 1);
}

/* Sends what the windows and the buffer allow; ends the stream where all is said. */
static void pump(Connection *c, Stream *s) {
    while (s->queue_len) {
        Pending *pending = &s->queue[s->queue_start];
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
            s->offset = 0;
            if (--pending->left == 0) s->queue_start++, s->queue_len--;
        }
    }
    s->queue_start = 0;
    if (!s->ended) return;
    static const char ok[] = "\x00\x0bgrpc-status\x01" "0", unknown[] = "\x00\x0bgrpc-status\x02" "12";
    const char *block = s->first < 0 ? unknown : ok;
    size_t len = s->first < 0 ? sizeof unknown - 1 : sizeof ok - 1;
    respond(c, s);
    put_frame(c, len, 1, 5, s->id);
    put(&c->out, block, len);
    end_stream(c, s);
}

static void pump_blocked(Connection *c) {
    if (!c->blocked) return;
    c->blocked = 0;
    for (Stream *s = c->streams, *next; s; s = next) next = s->next, pump(c, s);
}

static void message(Stream *s) {
    for (int i = s->first; i >= 0 && i < answer_count; i++) {
        Answer *a = &answers[i], *first = &answers[s->first];
        if (a->key_len != first->key_len || memcmp(a->key, first->key, a->key_len)) continue;
        if (a->request_len >= 0 &&
            (a->request_len != (int)s->kept_len || memcmp(a->request, s->kept, s->kept_len))) continue;
        if (s->queue_start + s->queue_len == s->queue_size) {
            if (s->queue_len) memmove(s->queue, s->queue + s->queue_start, s->queue_len * sizeof *s->queue);
            s->queue_start = 0;
            if (s->queue_len * 2 >= s->queue_size) {
                s->queue_size = 2 * s->queue_size + 4;
                s->queue = realloc(s->queue, s->queue_size * sizeof *s->queue);
            }
        }
        s->queue[s->queue_start + s->queue_len++] = (Pending){a, a->times};
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

/* -- HPACK ------------------------------------------------------------------------------------------------------ */

static const char *const STATIC[62][2] = {
    {"", ""}, {":authority", ""}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"},
    {":scheme", "http"}, {":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"},
    {":status", "304"}, {":status", "400"}, {":status", "404"}, {":status", "500"}, {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"}, {"accept-language", ""}, {"accept-ranges", ""}, {"accept", ""},
    {"access-control-allow-origin", ""}, {"age", ""}, {"allow", ""}, {"authorization", ""}, {"cache-control", ""},
    {"content-disposition", ""}, {"content-encoding", ""}, {"content-language", ""}, {"content-length", ""},
    {"content-location", ""}, {"content-range", ""}, {"content-type", ""}, {"cookie", ""}, {"date", ""}, {"etag", ""},
    {"expect", ""}, {"expires", ""}, {"from", ""}, {"host", ""}, {"if-match", ""}, {"if-modified-since", ""},
    {"if-none-match", ""}, {"if-range", ""}, {"if-unmodified-since", ""}, {"last-modified", ""}, {"link", ""},
    {"location", ""}, {"max-forwards", ""}, {"proxy-authenticate", ""}, {"proxy-authorization", ""}, {"range", ""},
    {"referer", ""}, {"refresh", ""}, {"retry-after", ""}, {"server", ""}, {"set-cookie", ""},
    {"strict-transport-security", ""}, {"transfer-encoding", ""}, {"user-agent", ""}, {"vary", ""}, {"via", ""},
    {"www-authenticate", ""},
};

static Header *at_index(Connection *c, uint32_t index) {
    static Header found;
    if (index >= 62) {
        if (index - 62 >= (uint32_t)c->table_len) return NULL;
        return &c->table[(c->table_start + c->table_len - 1 - (index - 62)) % 256];
    }
    const char *name = STATIC[index][0], *value = STATIC[index][1];
    found = (Header){(char *)name, (char *)value, strlen(name), strlen(value)};
    return &found;
}

static void evict(Connection *c, uint32_t limit) {
    while (c->table_len && c->table_size > limit) {
        Header *oldest = &c->table[c->table_start];
        c->table_size -= oldest->name_len + oldest->value_len + 32;
        free(oldest->name);
        free(oldest->value);
        c->table_start = (c->table_start + 1) % 256;
        c->table_len--;
    }
}

static char *copied(const char *data, uint32_t len) { return memcpy(malloc(len + 1), data, len); }

static void remember(Connection *c, Header header) {
    uint32_t size = header.name_len + header.value_len + 32;
    header.name = copied(header.name, header.name_len), header.value = copied(header.value, header.value_len);
    evict(c, size > c->table_max ? 0 : c->table_max - size);
    if (size > c->table_max) { free(header.name); free(header.value); return; }
    c->table[(c->table_start + c->table_len++) % 256] = header; /* 4096 bytes are 128 headers at most */
    c->table_size += size;
}

static uint32_t integer(const uint8_t **at, const uint8_t *end, int bits) {
    uint32_t mask = (1u << bits) - 1, value = *(*at)++ & mask;
    if (value < mask) return value;
    for (int shift = 0; *at < end && shift < 28; shift += 7) {
        uint8_t byte = *(*at)++;
        value += (uint32_t)(byte & 127) << shift;
        if (byte < 128) break;
    }
    return value;
}

/* A text as it stands; gRPC packs none but the values of -bin keys, which nobody sends here. */
static int text(const uint8_t **at, const uint8_t *end, char **data, uint32_t *len) {
    if (*at >= end || **at & 128) return 0;
    *len = integer(at, end, 7);
    *data = (char *)*at;
    if (*len > (size_t)(end - *at)) return 0;
    *at += *len;
    return 1;
}

/* Where a header block's :path has its first answer: -1 for nowhere, -2 for a block that is not understood. */
static int read_block(Connection *c, const uint8_t *at, const uint8_t *end) {
    int first = -1;
    while (at < end) {
        Header header;
        uint8_t kind = *at;
        if ((kind & 0xe0) == 0x20) {
            c->table_max = integer(&at, end, 5);
            if (c->table_max > 4096) return -2;
            evict(c, c->table_max);
            continue;
        }
        uint32_t index = integer(&at, end, kind & 128 ? 7 : kind & 64 ? 6 : 4);
        Header *known = index ? at_index(c, index) : NULL;
        if ((index || kind & 128) && !known) return -2;
        if (kind & 128) {
            header = *known;
        } else {
            if (known) header = *known;
            else if (!text(&at, end, &header.name, &header.name_len)) return -2;
            if (!text(&at, end, &header.value, &header.value_len)) return -2;
        }
        if (header.name_len == 5 && !memcmp(header.name, ":path", 5))
            for (int i = 0; i < answer_count && first < 0; i++)
                if (answers[i].key_len == (int)header.value_len && !memcmp(answers[i].key, header.value, header.value_len))
                    first = i;
        if ((kind & 0xc0) == 64) remember(c, header);
    }
    return first;
}

/* -- HTTP/2 ----------------------------------------------------------------------------------------------------- */

static void start_stream(Connection *c) {
    int first = read_block(c, (uint8_t *)c->block.data, (uint8_t *)c->block.data + c->block.len);
    uint32_t id = c->block_stream;
    c->block.len = c->block_stream = 0;
    if (first == -2) { fprintf(stderr, "a header block was not understood\n"); c->broken = 1; return; }
    if (*bucket(c, id)) return; /* trailers; a client of gRPC sends none */
    Stream *s = calloc(1, sizeof *s);
    s->id = id, s->first = first, s->window = c->initial_window, s->ended = c->block_flags & 1;
    if (c->streams) c->streams->prev = s;
    s->next = c->streams, c->streams = s;
    *bucket(c, id) = s;
    if (s->ended) pump(c, s);
    if (!s->ended && first < 0) s->ended = 1, pump(c, s);
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
    pump(c, s);
}

static void settings_frame(Connection *c, const char *data, uint32_t len) {
    for (; len >= 6; data += 6, len -= 6) {
        int name = (uint8_t)data[0] << 8 | (uint8_t)data[1];
        uint32_t value = number(data + 2);
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

static size_t take_frames(Connection *c, const char *data, size_t len) {
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

static void greet(Connection *c) {
    static const uint8_t settings[] = {0, 3, 0, 0, 0x10, 0, 0, 4, WINDOW >> 24, 0, 0, 0, 0, 5, 0, FRAME_SIZE >> 16, 0, 0};
    c->max_frame = 16384, c->window = c->initial_window = 65535, c->table_max = 4096;
    put_frame(c, sizeof settings, 4, 0, 0);
    put(&c->out, settings, sizeof settings);
    put_update(c, 0, WINDOW);
}

/* -- HTTP/1.1 --------------------------------------------------------------------------------------------------- */

static void answer_http(Connection *c) {
    static const char missing[] = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    if (c->answer < 0) put(&c->out, missing, sizeof missing - 1);
    else put(&c->out, answers[c->answer].answer, answers[c->answer].answer_len);
}

static int http_answer(const char *head, const char *end) {
    const char *path = memchr(head, ' ', end - head), *stop = path ? path + 1 : end;
    while (stop < end && *stop != ' ' && *stop != '?') stop++;
    for (int i = 0; i < answer_count; i++)
        if (answers[i].key_len == stop - head && !memcmp(answers[i].key, head, stop - head)) return i;
    return -1;
}

static size_t take_requests(Connection *c, const char *data, size_t len) {
    static const char length[] = "\r\ncontent-length:", chunked[] = "\r\ntransfer-encoding:";
    size_t used = 0;
    while (used < len && !c->broken) {
        if (c->body_left) {
            size_t part = len - used < c->body_left ? len - used : c->body_left;
            used += part;
            if (!(c->body_left -= part)) answer_http(c);
            continue;
        }
        const char *head = data + used, *end = memmem(head, len - used, "\r\n\r\n", 4);
        if (!end) break;
        c->answer = http_answer(head, end);
        for (const char *at = head; at < end && (at = memchr(at, '\r', end - at)); at++) {
            if (!strncasecmp(at, length, sizeof length - 1)) c->body_left = atol(at + sizeof length - 1);
            if (!strncasecmp(at, chunked, sizeof chunked - 1)) c->broken = 1;
        }
        used = end + 4 - data;
        if (!c->body_left) answer_http(c);
    }
    return used;
}

/* -- connections ------------------------------------------------------------------------------------------------ */

static void watch(Connection *c, int writing) {
    if (c->writing == writing) return;
    struct epoll_event event = {EPOLLIN | (writing ? EPOLLOUT : 0), {.ptr = c}};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->writing = writing;
}

static void flush(Connection *c) {
    while (c->out.len && !c->broken) {
        ssize_t sent = send(c->fd, c->out.data + c->out.start, c->out.len, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) c->broken = 1;
            break;
        }
        c->out.start += sent, c->out.len -= sent;
        if (!c->out.len) c->out.start = 0, pump_blocked(c);
    }
    watch(c, c->out.len > 0);
}

static void receive(Connection *c) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    ssize_t got = recv(c->fd, c->in + c->in_len, IN_SIZE - c->in_len, 0);
    if (got <= 0) { c->broken = got == 0 || errno != EAGAIN; return; }
    c->in_len += got;
    size_t used = 0;
    if (!c->protocol) {
        if (c->in_len < 24) return;
        c->protocol = memcmp(c->in, preface, 24) ? 1 : 2;
        if (c->protocol == 2) used = 24, greet(c);
    }
    used += (c->protocol == 2 ? take_frames : take_requests)(c, c->in + used, c->in_len - used);
    memmove(c->in, c->in + used, c->in_len -= used);
    if (c->in_len == IN_SIZE) c->broken = 1;
}

static void end_connection(Connection *c) {
    while (c->streams) end_stream(c, c->streams);
    evict(c, 0);
    close(c->fd);
    free(c->in);
    free(c->out.data);
    free(c->block.data);
    free(c);
}

static void take_connection(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Connection *c = calloc(1, sizeof *c);
    c->fd = fd, c->in = malloc(IN_SIZE);
    struct epoll_event event = {EPOLLIN, {.ptr = c}};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* -- the table -------------------------------------------------------------------------------------------------- */

static int read_number(void) {
    int32_t value;
    if (fread(&value, 4, 1, stdin) != 1) exit(1);
    return value;
}

static char *read_bytes(int len, int front) {
    char *data = malloc(len + front + 1);
    if (len > 0 && fread(data + front, 1, len, stdin) != (size_t)len) exit(1);
    return data;
}

static void read_table(void) {
    answer_count = read_number();
    answers = calloc(answer_count, sizeof *answers);
    for (Answer *a = answers; a < answers + answer_count; a++) {
        a->key_len = read_number(), a->key = read_bytes(a->key_len, 0);
        a->request_len = read_number(), a->request = a->request_len < 0 ? NULL : read_bytes(a->request_len, 0);
        a->times = read_number();
        int len = read_number(), front = a->key[0] == '/' ? 5 : 0;
        uint32_t told = htonl(len);
        a->answer = read_bytes(len, front), a->answer_len = len + front;
        if (front) a->answer[0] = 0, memcpy(a->answer + 1, &told, 4);
    }
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setvbuf(stdin, NULL, _IOFBF, 1 << 16);
    read_table();
    signal(SIGPIPE, SIG_IGN);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)) { perror("listen"); return 1; }
    getsockname(listener, (struct sockaddr *)&address, &size);
    poll_fd = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.ptr = &answers}}, events[64];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = NULL;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &event);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poll_fd, events, 64, -1);
        for (int i = 0; i < count; i++) {
            Connection *c = events[i].data.ptr;
            if (!c) { char byte; if (read(0, &byte, 1) <= 0) return 0; continue; }
            if ((void *)c == &answers) { take_connection(listener); continue; }
            if (events[i].events & ~EPOLLOUT) receive(c);
            flush(c);
            if (c->broken) end_connection(c);
        }
    }
}
