/* HTTP/1.1: whole answers, as the table has them. */
#include "server.h"

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

size_t take_requests(Connection *c, const char *data, size_t len) {
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
