/* A server that costs next to nothing: fixed answers over gRPC (HTTP/2) and HTTP/1.1, on one port, and over TLS.
 *
 * A server in Python is busy before its client is, and hides what the client costs. This one speaks just enough. It
 * reads a table of answers from its standard input, tells its ports in a line of its standard output, and ends when
 * the input does. All numbers of the table are 32 bits, little endian; the table is
 *     count, then for each answer: length, key; length, request (-1: any); times; pause; length, answer
 * A key is a gRPC path, or "METHOD /path" for a whole HTTP/1.1 answer. Each gRPC request message that fits is answered
 * with `times` messages, and the stream ends when the client's does: that is right for all kinds but streams in. With
 * a pause (microseconds) each of the messages is sent at its time, the first within the pause.
 *
 * `server [CERTIFICATE KEY]`: with the two files, and OpenSSL (-DTLS -lssl -lcrypto), there is a second port, for TLS.
 */
#include "server.h"

#define IN_SIZE (1 << 20)

Answer *answers;
int answer_count;
static int poll_fd, timer_fd;
static uint64_t timer_at;          /* the microsecond the timer is set to */

/* -- buffers ---------------------------------------------------------------------------------------------------- */

char *room(Buffer *buffer, size_t more) {
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

void put(Buffer *buffer, const void *data, size_t len) { memcpy(room(buffer, len), data, len); }

/* -- sockets ---------------------------------------------------------------------------------------------------- */

/* Both return what was moved, 0 for "not now", below 0 for the end. */
static ssize_t get_bytes(Connection *c, char *data, size_t len) {
#ifdef TLS
    if (c->tls) {
        ERR_clear_error();
        int got = SSL_read(c->tls, data, len), error = SSL_get_error(c->tls, got);
        return got > 0 ? got : error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    ssize_t got = recv(c->fd, data, len, 0);
    return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
}

static ssize_t put_bytes(Connection *c, const char *data, size_t len) {
#ifdef TLS
    if (c->tls) {
        ERR_clear_error();
        int sent = SSL_write(c->tls, data, len), error = SSL_get_error(c->tls, sent);
        return sent > 0 ? sent : error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    ssize_t sent = send(c->fd, data, len, MSG_NOSIGNAL);
    return sent >= 0 ? sent : errno == EAGAIN ? 0 : -1;
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
        ssize_t sent = put_bytes(c, c->out.data + c->out.start, c->out.len);
        if (sent < 0) c->broken = 1;
        if (sent <= 0) break;
        c->out.start += sent, c->out.len -= sent;
        if (!c->out.len) c->out.start = 0, pump_blocked(c);
    }
    watch(c, c->out.len > 0);
}

static void take(Connection *c) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
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

static void receive(Connection *c) {
    do {
        ssize_t got = get_bytes(c, c->in + c->in_len, IN_SIZE - c->in_len);
        if (got < 0) c->broken = 1;
        if (got <= 0) return;
        c->in_len += got;
        take(c);
#ifdef TLS
    } while (c->tls && !c->broken); /* what OpenSSL holds already is not told by epoll */
#else
    } while (0);
#endif
}

static void end_connection(Connection *c) {
    end_streams(c);
    forget_table(&c->decoder);
#ifdef TLS
    SSL_free(c->tls);
#endif
    close(c->fd);
    free(c->in);
    free(c->out.data);
    free(c->block.data);
    free(c);
}

static Connection *ended[64];
static int ended_count;

/* Sends what there is. A broken connection is kept until no event of this turn can name it. */
void settle(Connection *c) {
    if (!c->broken) flush(c);
    if (!c->broken) return;
    end_streams(c);
    for (int i = 0; i < ended_count; i++) if (ended[i] == c) return;
    if (ended_count < 64) ended[ended_count++] = c;
}

static void end_broken(void) {
    while (ended_count) end_connection(ended[--ended_count]);
}

static Connection *take_connection(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
    if (fd < 0) return NULL;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Connection *c = calloc(1, sizeof *c);
    c->fd = fd, c->in = malloc(IN_SIZE);
    struct epoll_event event = {EPOLLIN, {.ptr = c}};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    return c;
}

#ifdef TLS
static SSL_CTX *context;

static int choose(SSL *_, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned int in_len,
                  void *__) {
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)_, (void)__;
    int found = SSL_select_next_proto((unsigned char **)out, len, ours, sizeof ours - 1, in, in_len);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void use_certificate(char **files) {
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(context, choose, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, files[0]) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, files[1], SSL_FILETYPE_PEM) == 1) return;
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void secure(Connection *c) {
    if (!c) return;
    c->tls = SSL_new(context);
    SSL_set_fd(c->tls, c->fd);
    SSL_set_accept_state(c->tls);
}
#endif

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
        a->times = read_number(), a->pause = read_number();
        int len = read_number(), front = a->key[0] == '/' ? 5 : 0;
        uint32_t told = htonl(len);
        a->answer = read_bytes(len, front), a->answer_len = len + front;
        if (front) a->answer[0] = 0, memcpy(a->answer + 1, &told, 4);
    }
}

/* -- the loop --------------------------------------------------------------------------------------------------- */

static int listen_at(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)) { perror("listen"); exit(1); }
    getsockname(listener, (struct sockaddr *)&address, &size);
    *port = ntohs(address.sin_port);
    return listener;
}

static void await(int fd, void *what) {
    struct epoll_event event = {EPOLLIN, {.ptr = what}};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void set_timer(void) {
    uint64_t due = next_due();
    if (due == timer_at) return;
    struct itimerspec time = {.it_value = {due / 1000000, due % 1000000 * 1000}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &time, NULL);
    timer_at = due;
}

static void serve(Connection *c, uint32_t events) {
    if (events & ~EPOLLOUT) receive(c);
    settle(c);
}

int main(int argc, char **argv) {
    static char input, timer, plain, secured; /* what an event is about, unless it is a connection */
    struct epoll_event events[64];
    int port, listener, secure_port = 0, secure_listener = -1;
    setvbuf(stdin, NULL, _IOFBF, 1 << 16);
    read_table();
    signal(SIGPIPE, SIG_IGN);
    poll_fd = epoll_create1(0), timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    listener = listen_at(&port);
    await(0, &input), await(timer_fd, &timer), await(listener, &plain);
#ifdef TLS
    if (argc == 3) use_certificate(argv + 1), secure_listener = listen_at(&secure_port);
    if (argc == 3) await(secure_listener, &secured);
#else
    (void)argc, (void)argv, (void)secure_listener;
#endif
    printf("%d %d %d\n", port, port, secure_port);
    fflush(stdout);
    for (;;) {
        set_timer();
        int count = epoll_wait(poll_fd, events, 64, -1);
        for (int i = 0; i < count; i++) {
            char *what = events[i].data.ptr, dropped[8];
            if (what == &input && read(0, dropped, 1) <= 0) return 0;
            else if (what == &timer && read(timer_fd, dropped, 8) == 8) timer_at = 0, send_due();
            else if (what == &plain) take_connection(listener);
#ifdef TLS
            else if (what == &secured) secure(take_connection(secure_listener));
#endif
            else if (what != &input && what != &timer && what != &plain && what != &secured)
                serve((Connection *)what, events[i].events);
        }
        end_broken();
    }
}
