#include "CFetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

struct transfer {
    const struct cfetch_request *request;
    struct cfetch_reply *reply;
    int64_t taken;
    int error; /* errno of a write, or EFBIG */
};

static int write_all(int file, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(file, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes += written;
        count -= (size_t)written;
    }
    return 0;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    transfer->taken += (int64_t)(size * count);
    if (transfer->taken > transfer->request->limit)
        transfer->error = EFBIG;
    else
        transfer->error = -write_all(transfer->request->file, bytes, size * count);
    return transfer->error ? 0 : size * count;
}

/* Copies the value of the header `name` if this is its line. */
static void take_value(const char *line, size_t count, const char *name, char *to, size_t room)
{
    size_t length = strlen(name);
    if (count <= length || line[length] != ':' || strncasecmp(line, name, length) != 0)
        return;
    line += length + 1;
    count -= length + 1;
    while (count > 0 && (*line == ' ' || *line == '\t'))
        line++, count--;
    while (count > 0 && (unsigned char)line[count - 1] <= ' ')
        count--;
    if (count >= room)
        return;
    memcpy(to, line, count);
    to[count] = 0;
}

static size_t take_header(char *line, size_t size, size_t count, void *context)
{
    struct cfetch_reply *reply = ((struct transfer *)context)->reply;
    count *= size;
    if (count > 5 && memcmp(line, "HTTP/", 5) == 0)
        reply->etag[0] = reply->modified[0] = reply->location[0] = reply->encoding[0] = 0;
    take_value(line, count, "etag", reply->etag, sizeof reply->etag);
    take_value(line, count, "last-modified", reply->modified, sizeof reply->modified);
    take_value(line, count, "location", reply->location, sizeof reply->location);
    take_value(line, count, "content-encoding", reply->encoding, sizeof reply->encoding);
    return count;
}

static int mark_socket(void *context, curl_socket_t socket, curlsocktype purpose)
{
    const struct cfetch_request *request = context;
    (void)purpose;
    if (request->mark && setsockopt(socket, SOL_SOCKET, SO_MARK, &request->mark, sizeof request->mark) && errno != EPERM)
        return CURL_SOCKOPT_ERROR;
    return CURL_SOCKOPT_OK;
}

static int tell_progress(void *context, curl_off_t total, curl_off_t done, curl_off_t out_total, curl_off_t out)
{
    const struct cfetch_request *request = ((struct transfer *)context)->request;
    (void)out_total;
    (void)out;
    return request->progress ? request->progress(request->context, done, total > 0 ? total : -1) : 0;
}

static void start_curl(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

int cfetch(const struct cfetch_request *request, struct cfetch_reply *reply)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_curl);
    memset(reply, 0, sizeof *reply);
    struct transfer transfer = {.request = request, .reply = reply};
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL, *hosts = NULL;
    char line[1024], reason[CURL_ERROR_SIZE] = "";
    if (!curl) {
        snprintf(reply->error, sizeof reply->error, "out of memory");
        return -1;
    }
    /* Unpacked here afterwards: libcurl would take a cut file for a whole one. */
    headers = curl_slist_append(headers, "Accept-Encoding: gzip");
    if (request->etag) {
        snprintf(line, sizeof line, "If-None-Match: %s", request->etag);
        headers = curl_slist_append(headers, line);
    }
    if (request->modified) {
        snprintf(line, sizeof line, "If-Modified-Since: %s", request->modified);
        headers = curl_slist_append(headers, line);
    }
    if (request->resolve)
        hosts = curl_slist_append(hosts, request->resolve);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_RESOLVE, hosts);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, request->agent);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 15L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)request->seconds);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 30L);
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->limit);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, mark_socket);
    curl_easy_setopt(curl, CURLOPT_SOCKOPTDATA, request);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, tell_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (request->authorities)
        curl_easy_setopt(curl, CURLOPT_CAINFO, request->authorities);

    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->status);
    if (transfer.error == EFBIG || code == CURLE_FILESIZE_EXCEEDED)
        snprintf(reply->error, sizeof reply->error, "larger than %lld bytes", (long long)request->limit);
    else if (transfer.error)
        snprintf(reply->error, sizeof reply->error, "cannot be written: %s", strerror(transfer.error));
    else if (code != CURLE_OK)
        snprintf(reply->error, sizeof reply->error, "%s", reason[0] ? reason : curl_easy_strerror(code));
    curl_slist_free_all(headers);
    curl_slist_free_all(hosts);
    curl_easy_cleanup(curl);
    return code == CURLE_OK ? 0 : -1;
}

static bool take_part(CURLU *handle, CURLUPart part, unsigned flags, char *to, size_t room)
{
    char *text = NULL;
    bool fits = curl_url_get(handle, part, &text, flags) == CURLUE_OK && strlen(text) < room;
    if (fits)
        strcpy(to, text);
    curl_free(text);
    return fits;
}

int cfetch_url(const char *base, const char *text, struct cfetch_url *url)
{
    memset(url, 0, sizeof *url);
    CURLU *handle = curl_url();
    bool fits = handle && (!base || curl_url_set(handle, CURLUPART_URL, base, 0) == CURLUE_OK) &&
                curl_url_set(handle, CURLUPART_URL, text, 0) == CURLUE_OK &&
                take_part(handle, CURLUPART_SCHEME, 0, url->scheme, sizeof url->scheme) &&
                take_part(handle, CURLUPART_HOST, 0, url->host, sizeof url->host) &&
                take_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT, url->port, sizeof url->port) &&
                take_part(handle, CURLUPART_URL, 0, url->whole, sizeof url->whole);
    curl_url_cleanup(handle);
    return fits ? 0 : -1;
}

int cfetch_gunzip(int from, int to, int64_t limit)
{
    enum { ROOM = 65536 };
    unsigned char in[ROOM], out[ROOM];
    z_stream stream = {0};
    int result = 0, state = Z_OK;
    /* 15 + 16: a window of 32 KiB, and a gzip header. */
    if (inflateInit2(&stream, 15 + 16) != Z_OK)
        return -ENOMEM;
    while (result == 0) {
        ssize_t got = read(from, in, ROOM);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            result = got < 0 ? -errno : state == Z_STREAM_END ? 1 : -EBADMSG;
            break;
        }
        stream.next_in = in;
        stream.avail_in = (unsigned)got;
        do {
            /* A file may be several gzip members, one behind the other (RFC 1952 section 2.2). */
            if (state == Z_STREAM_END)
                inflateReset(&stream);
            stream.next_out = out;
            stream.avail_out = ROOM;
            state = inflate(&stream, Z_NO_FLUSH);
            limit -= ROOM - (int64_t)stream.avail_out;
            if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
                result = -EBADMSG;
            else if (limit < 0)
                result = -EFBIG;
            else
                result = write_all(to, (const char *)out, ROOM - stream.avail_out);
        } while (result == 0 && (stream.avail_in > 0 || (stream.avail_out == 0 && state == Z_OK)));
    }
    inflateEnd(&stream);
    return result == 1 ? 0 : result;
}
