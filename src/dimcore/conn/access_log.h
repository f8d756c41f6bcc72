/* Lines of the access log: spans and numbers in, one line out.
 *
 * Target, referer and user agent are a stranger's bytes.  A quote or a newline
 * would forge fields and lines, an escape sequence would reach the terminal of
 * whoever reads the log, and bytes that are no UTF-8 would be no JSON.  So all
 * that is not printable ASCII, and quote and backslash, is escaped, and a line
 * is ASCII whatever it says.
 *
 * Every field has a limit in bytes *as written*, so that no line is longer than
 * DIM_LOG_LINE: what POSIX lets several processes write into one pipe without
 * mixing (PIPE_BUF, 4096 on Linux).
 */
#ifndef DIMCORE_LOGLINE_H
#define DIMCORE_LOGLINE_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    DIM_LOG_LINE = 4096,
    DIM_LOG_TARGET = 1536, /* bytes of a field as written, "..." of a cut one apart */
    DIM_LOG_REFERER = 768,
    DIM_LOG_AGENT = 512,
    DIM_LOG_METHOD = 32,
    DIM_LOG_ID = 128,
    DIM_LOG_CLIENT = 64,
    DIM_LOG_TAIL = 128, /* pool, worker and process */
};

typedef struct {
    const char *text; /* NULL: there is none */
    size_t size;
} dim_log_span;

typedef struct {
    dim_log_span client, peer, id, method, target, referer, agent;
    dim_log_span pool, tail; /* ready to be copied */
    int64_t bytes_in, bytes_out;
    int64_t total_ns, received_ns, parsed_ns, handler_ns, sending_ns;
    int status, minor, millisecond, tells_peer;
} dim_log_entry;

#define DIM_LOG_TEXT(at, text) (memcpy((at), (text), sizeof(text) - 1), (at) + sizeof(text) - 1)

static inline char *dim_log_copy(char *at, dim_log_span span) {
    memcpy(at, span.text, span.size);
    return at + span.size;
}

static inline char *dim_log_number(char *at, int64_t value) {
    char digits[20];
    int n = 0;
    uint64_t left = value < 0 ? 0 : (uint64_t)value;
    do digits[n++] = (char)('0' + left % 10);
    while (left /= 10);
    while (n) *at++ = digits[--n];
    return at;
}

/* A bit at 0x80 of each byte that may not stand in a line as it is; all carries stay inside their byte. */
static inline uint64_t dim_log_dirty(uint64_t word) {
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7, low = ~high;
    uint64_t seven = word & low;
    uint64_t printable = seven + ones * (0x80 - 0x20);       /* 0x80 where >= 0x20 */
    uint64_t is_del = seven + ones;                          /* 0x80 where 0x7f */
    uint64_t no_quote = (seven ^ ones * '"') + low;          /* 0x80 where it is none */
    uint64_t no_backslash = (seven ^ ones * '\\') + low;
    return (word | ~printable | is_del | ~no_quote | ~no_backslash) & high;
}

/* The field escaped, and cut where it would take more than `limit` bytes. */
static inline char *dim_log_escape(char *at, dim_log_span span, size_t limit, int json) {
    static const char hex[] = "0123456789abcdef";
    const char *text = span.text, *end = span.text + span.size;
    char *stop = at + limit;
    uint64_t word;
    while (text < end) {
        while (end - text >= 8 && stop - at >= 8) {
            memcpy(&word, text, 8);
            memcpy(at, &word, 8);
            word = dim_log_dirty(word);
            if (word) break;
            text += 8;
            at += 8;
        }
        if (text == end) break;
        uint8_t c = (uint8_t)*text;
        int escaped = c == '"' || c == '\\' ? 2 : c >= 0x20 && c < 0x7f ? 1 : json ? 6 : 4;
        if (stop - at < escaped) return DIM_LOG_TEXT(at, "...");
        text++;
        if (escaped > 1) *at++ = '\\';
        if (escaped <= 2) {
            *at++ = (char)c;
            continue;
        }
        if (json) at = DIM_LOG_TEXT(at, "u00");
        else *at++ = 'x';
        *at++ = hex[c >> 4];
        *at++ = hex[c & 15];
    }
    return at;
}

static inline char *dim_log_value(char *at, dim_log_span span, size_t limit) {
    if (span.text == NULL) return DIM_LOG_TEXT(at, "null");
    *at++ = '"';
    at = dim_log_escape(at, span, limit, 1);
    *at++ = '"';
    return at;
}

/* One object and a newline at `out`, which has room for DIM_LOG_LINE; the bytes written. */
static size_t dim_log_json(char *out, const dim_log_entry *entry, dim_log_span stamp) {
    char *at = DIM_LOG_TEXT(out, "{\"time\":\"");
    at = dim_log_copy(at, stamp);
    *at++ = '.';
    *at++ = (char)('0' + entry->millisecond / 100);
    *at++ = (char)('0' + entry->millisecond / 10 % 10);
    *at++ = (char)('0' + entry->millisecond % 10);
    at = DIM_LOG_TEXT(at, "Z\",\"client\":");
    at = dim_log_value(at, entry->client, DIM_LOG_CLIENT);
    if (entry->tells_peer) {
        at = DIM_LOG_TEXT(at, ",\"peer\":");
        at = dim_log_value(at, entry->peer, DIM_LOG_CLIENT);
    }
    at = DIM_LOG_TEXT(at, ",\"request_id\":");
    at = dim_log_value(at, entry->id, DIM_LOG_ID);
    at = DIM_LOG_TEXT(at, ",\"method\":");
    at = dim_log_value(at, entry->method, DIM_LOG_METHOD);
    at = DIM_LOG_TEXT(at, ",\"target\":");
    at = dim_log_value(at, entry->target, DIM_LOG_TARGET);
    if (entry->method.text == NULL || entry->minor < 0) at = DIM_LOG_TEXT(at, ",\"protocol\":null");
    else if (entry->minor) at = DIM_LOG_TEXT(at, ",\"protocol\":\"HTTP/1.1\"");
    else at = DIM_LOG_TEXT(at, ",\"protocol\":\"HTTP/1.0\"");
    at = DIM_LOG_TEXT(at, ",\"status\":");
    at = dim_log_number(at, entry->status);
    at = DIM_LOG_TEXT(at, ",\"bytes_in\":");
    at = dim_log_number(at, entry->bytes_in);
    at = DIM_LOG_TEXT(at, ",\"bytes_out\":");
    at = dim_log_number(at, entry->bytes_out);
    at = DIM_LOG_TEXT(at, ",\"duration_us\":");
    at = dim_log_number(at, entry->total_ns / 1000);
    at = DIM_LOG_TEXT(at, ",\"received_us\":");
    at = dim_log_number(at, entry->received_ns / 1000);
    at = DIM_LOG_TEXT(at, ",\"parsed_us\":");
    at = dim_log_number(at, entry->parsed_ns / 1000);
    at = DIM_LOG_TEXT(at, ",\"handler_us\":");
    at = dim_log_number(at, entry->handler_ns / 1000);
    at = DIM_LOG_TEXT(at, ",\"sending_us\":");
    at = dim_log_number(at, entry->sending_ns / 1000);
    at = DIM_LOG_TEXT(at, ",\"referer\":");
    at = dim_log_value(at, entry->referer, DIM_LOG_REFERER);
    at = DIM_LOG_TEXT(at, ",\"user_agent\":");
    at = dim_log_value(at, entry->agent, DIM_LOG_AGENT);
    at = DIM_LOG_TEXT(at, ",\"pool\":");
    at = dim_log_copy(at, entry->pool);
    at = dim_log_copy(at, entry->tail);
    at = DIM_LOG_TEXT(at, "}\n");
    return (size_t)(at - out);
}

/* The Common Log Format, or with `combined` referer and user agent behind it (Apache's names). */
static size_t dim_log_common(char *out, const dim_log_entry *entry, dim_log_span stamp, int combined) {
    static const dim_log_span dash = {"-", 1};
    char *at = dim_log_escape(out, entry->client.text ? entry->client : dash, DIM_LOG_CLIENT, 0);
    at = DIM_LOG_TEXT(at, " - - [");
    at = dim_log_copy(at, stamp);
    at = DIM_LOG_TEXT(at, "] \"");
    if (entry->method.text == NULL) {
        *at++ = '-';
    } else {
        at = dim_log_escape(at, entry->method, DIM_LOG_METHOD, 0);
        *at++ = ' ';
        at = dim_log_escape(at, entry->target, DIM_LOG_TARGET, 0);
        if (entry->minor >= 0) {
            at = DIM_LOG_TEXT(at, " HTTP/1.");
            *at++ = (char)('0' + entry->minor);
        }
    }
    at = DIM_LOG_TEXT(at, "\" ");
    at = dim_log_number(at, entry->status);
    *at++ = ' ';
    at = dim_log_number(at, entry->bytes_out);
    if (combined) {
        at = DIM_LOG_TEXT(at, " \"");
        at = dim_log_escape(at, entry->referer.text ? entry->referer : dash, DIM_LOG_REFERER, 0);
        at = DIM_LOG_TEXT(at, "\" \"");
        at = dim_log_escape(at, entry->agent.text ? entry->agent : dash, DIM_LOG_AGENT, 0);
        *at++ = '"';
    }
    *at++ = '\n';
    return (size_t)(at - out);
}

/* The second as it stands in a line: ISO 8601 in UTC without the 'Z', or as Apache has it in local time. */
static size_t dim_log_stamp(char *out, size_t room, int64_t second, int json) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec"; /* not the locale's */
    struct tm t;
    time_t when = (time_t)second;
    int n, minutes;
    if (json) {
        if (gmtime_r(&when, &t) == NULL) return 0;
        n = snprintf(out, room, "%04d-%02d-%02dT%02d:%02d:%02d", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                     t.tm_hour, t.tm_min, t.tm_sec);
    } else {
        if (localtime_r(&when, &t) == NULL) return 0;
        minutes = (int)(t.tm_gmtoff / 60);
        n = snprintf(out, room, "%02d/%.3s/%04d:%02d:%02d:%02d %c%02d%02d", t.tm_mday, months + 3 * t.tm_mon,
                     t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec, minutes < 0 ? '-' : '+',
                     (minutes < 0 ? -minutes : minutes) / 60, (minutes < 0 ? -minutes : minutes) % 60);
    }
    return n < 0 || (size_t)n >= room ? 0 : (size_t)n;
}

/* An address as text at `out` (46 bytes); 0 for a family that has none.  IPv4 inside IPv6 reads as IPv4. */
static size_t dim_log_address(char *out, int family, const uint8_t *address) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char *at = out;
    if (family == 6 && memcmp(address, mapped, 12) == 0) {
        address += 12;
        family = 4;
    }
    if (family == 4) {
        for (int i = 0; i < 4; i++) {
            if (i) *at++ = '.';
            at = dim_log_number(at, address[i]);
        }
        return (size_t)(at - out);
    }
    if (family == 6 && inet_ntop(AF_INET6, address, out, 46) != NULL) return strlen(out);
    return 0;
}

static int64_t dim_log_wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
