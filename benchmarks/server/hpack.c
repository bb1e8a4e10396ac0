/* HPACK: blocks are read in full, those sent hold what a server of grpcio sends. */
#include "server.h"

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

/* -- reading ---------------------------------------------------------------------------------------------------- */

/* The lengths of the Huffman codes, which are canonical. */
static const uint8_t LENGTHS[257] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
    28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
    8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
    13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
    28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
    22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
    22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
    25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30
};

static int unpack(const uint8_t *at, uint32_t len, char *to, uint32_t most) {
    static uint16_t symbols[257];
    static uint32_t first[31], count[31], begin[31];
    if (!count[5]) { /* made once */
        for (int i = 0; i < 257; i++) count[LENGTHS[i]]++;
        for (uint32_t bits = 1, code = 0, index = 0; bits < 31; bits++) {
            code = (code + count[bits - 1]) << 1;
            first[bits] = code, begin[bits] = index;
            for (int i = 0; i < 257; i++) if (LENGTHS[i] == bits) symbols[index++] = i;
        }
    }
    uint32_t code = 0, bits = 0, made = 0;
    for (uint32_t i = 0; i < 8 * len; i++) {
        code = code << 1 | (at[i / 8] >> (7 - i % 8) & 1);
        if (++bits > 30) return -1;
        if (code < first[bits] || code - first[bits] >= count[bits]) continue;
        if (made == most) return -1;
        to[made++] = symbols[begin[bits] + code - first[bits]];
        code = bits = 0;
    }
    return bits < 8 ? (int)made : -1; /* what is left is padding */
}

static Header *at_index(Decoder *d, uint32_t index) {
    static Header found;
    if (index >= 62) {
        if (index - 62 >= d->len) return NULL;
        return &d->entries[(d->start + d->len - 1 - (index - 62)) % TABLE_ENTRIES];
    }
    const char *name = STATIC[index][0], *value = STATIC[index][1];
    found = (Header){(char *)name, (char *)value, strlen(name), strlen(value)};
    return &found;
}

static void evict(Decoder *d, uint32_t limit) {
    while (d->len && d->size > limit) {
        Header *oldest = &d->entries[d->start];
        d->size -= oldest->name_len + oldest->value_len + 32;
        free(oldest->name);
        free(oldest->value);
        d->start = (d->start + 1) % TABLE_ENTRIES;
        d->len--;
    }
}

void forget_table(Decoder *d) { evict(d, 0); }

static char *copied(const char *data, uint32_t len) { return memcpy(malloc(len + 1), data, len); }

static void remember(Decoder *d, Header header) {
    uint32_t size = header.name_len + header.value_len + 32;
    header.name = copied(header.name, header.name_len), header.value = copied(header.value, header.value_len);
    evict(d, size > d->limit ? 0 : d->limit - size);
    if (size > d->limit) { free(header.name); free(header.value); return; }
    d->entries[(d->start + d->len++) % TABLE_ENTRIES] = header;
    d->size += size;
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

static int text(const uint8_t **at, const uint8_t *end, char **data, uint32_t *len, char *scratch) {
    if (*at >= end) return 0;
    int packed = **at & 128;
    *len = integer(at, end, 7);
    if (*len > (size_t)(end - *at)) return 0;
    const uint8_t *found = *at;
    *at += *len;
    *data = (char *)found;
    if (!packed) return 1;
    int unpacked = unpack(found, *len, *data = scratch, TABLE);
    *len = unpacked;
    return unpacked >= 0;
}

/* Finds a block's :path, which is the first answer's key that is equal to it; false: the block is not understood. */
int read_block(Decoder *d, const uint8_t *at, const uint8_t *end, Header *path) {
    static char names[TABLE], values[TABLE], kept[TABLE];
    while (at < end) {
        Header header;
        uint8_t kind = *at;
        if ((kind & 0xe0) == 0x20) {
            d->limit = integer(&at, end, 5);
            if (d->limit > TABLE) return 0;
            evict(d, d->limit);
            continue;
        }
        uint32_t index = integer(&at, end, kind & 128 ? 7 : kind & 64 ? 6 : 4);
        Header *known = index ? at_index(d, index) : NULL;
        if ((index || kind & 128) && !known) return 0;
        if (kind & 128) {
            header = *known;
        } else {
            if (known) header = *known;
            else if (!text(&at, end, &header.name, &header.name_len, names)) return 0;
            if (!text(&at, end, &header.value, &header.value_len, values)) return 0;
        }
        if (header.name_len == 5 && !memcmp(header.name, ":path", 5)) {
            if (header.value_len > TABLE) return 0;
            path->value = memcpy(kept, header.value, header.value_len), path->value_len = header.value_len;
        }
        if ((kind & 0xc0) == 64) remember(d, header);
    }
    return 1;
}

/* -- writing ---------------------------------------------------------------------------------------------------- */

static const struct { const char *literal; uint32_t literal_len, size; } SENT[FIELDS] = {
    /* The name's index in the static table, or 0 and the name; the value; the entry's size. */
    {"\x1f\x10" "application/grpc", 18, 12 + 16 + 32},
    {"\x00\x14" "grpc-accept-encoding" "\x17" "identity, deflate, gzip", 46, 20 + 23 + 32},
    {"\x00\x0b" "grpc-status" "\x01" "0", 15, 11 + 1 + 32},
};

/* The client's limit of the table changed: the next block tells so, and starts with an empty one. */
void limit_encoder(Encoder *e, uint32_t limit) {
    if (limit > TABLE) limit = TABLE;
    if (limit == e->limit) return;
    *e = (Encoder){.limit = limit, .changed = 1};
}

static void put_limit(Encoder *e, Buffer *block) {
    if (!e->changed) return;
    e->changed = 0;
    put(block, "\x20", 1);
    if (!e->limit) return;
    uint32_t left = e->limit;
    uint8_t first = left < 31 ? 0x20 | left : 0x3f;
    put(block, &first, 1);
    if (left < 31) return;
    for (left -= 31; left >= 128; left >>= 7) put(block, (uint8_t[]){left | 128}, 1);
    put(block, (uint8_t[]){left}, 1);
}

static void put_field(Encoder *e, Buffer *block, int field) {
    uint32_t all = SENT[CONTENT_TYPE].size + SENT[ACCEPT_ENCODING].size + SENT[STATUS_OK].size;
    const char *literal = SENT[field].literal;
    if (e->at[field]) { /* the newest entry has the index 62 */
        put(block, (uint8_t[]){128 | (62 + e->inserted - e->at[field])}, 1);
        return;
    }
    uint8_t index = *literal;
    if (e->limit >= all) {
        e->at[field] = ++e->inserted;
        put(block, (uint8_t[]){64 | index}, 1);
    } else if (index < 15) {
        put(block, &index, 1);
    } else { /* never an entry of the table, which is too small, or none */
        put(block, (uint8_t[]){15, index - 15}, 2);
    }
    put(block, literal + 1, SENT[field].literal_len - 1);
}

void put_head(Encoder *e, Buffer *block) {
    put_limit(e, block);
    put(block, "\x88", 1); /* :status 200 */
    put_field(e, block, CONTENT_TYPE);
    put_field(e, block, ACCEPT_ENCODING);
}

void put_trailers(Encoder *e, Buffer *block, int known) {
    static const char unknown[] = "\x00\x0bgrpc-status\x02" "12", message[] = "\x00\x0cgrpc-message";
    put_limit(e, block);
    if (known) put_field(e, block, STATUS_OK);
    else put(block, unknown, sizeof unknown - 1);
    put(block, message, sizeof message); /* with its 0: an empty message */
}
