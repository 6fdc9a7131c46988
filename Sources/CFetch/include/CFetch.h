/* One HTTP request through libcurl and the unpacking of gzip through zlib: what Swift cannot call itself, because
 * libcurl's functions take any number of arguments of any type. Blocking; any thread. */
#ifndef WEBTUN_CFETCH_H
#define WEBTUN_CFETCH_H

#include <stdint.h>

struct cfetch_request {
    const char *url;         /* http or https */
    const char *resolve;     /* "host:port:address,…" in libcurl's form; NULL: libcurl asks the system */
    const char *etag;        /* sent as If-None-Match; NULL: none */
    const char *modified;    /* sent as If-Modified-Since; NULL: none */
    const char *authorities; /* file of certificate authorities; NULL: the system's */
    const char *agent;       /* User-Agent */
    uint32_t mark;           /* SO_MARK of the socket; 0: none. Left out where the process may not set it. */
    int64_t limit;           /* the most bytes to take */
    int64_t seconds;         /* the most time for all of it */
    int file;                /* the body is written here */
    void *context;
    /* Called now and then; not 0 ends the transfer. total is -1 when not known. */
    int (*progress)(void *context, int64_t done, int64_t total);
};

struct cfetch_reply {
    long status; /* of HTTP */
    char etag[512], modified[64], location[4096], encoding[64];
    char error[512]; /* why it failed, for people */
};

/* 0, or -1 with `error` filled. Redirects are not followed: `location` says where to. */
int cfetch(const struct cfetch_request *request, struct cfetch_reply *reply);

struct cfetch_url {
    char scheme[16], host[512], port[8];
    char whole[4096];
};

/* Takes apart `text`, relative to `base` (NULL: none): 0, or -1 when it is no URL. */
int cfetch_url(const char *base, const char *text, struct cfetch_url *url);

/* Unpacks gzip from one file to another. Returns 0, -EBADMSG (damaged or cut), -EFBIG (more than `limit` bytes) or what
 * read and write say. */
int cfetch_gunzip(int from, int to, int64_t limit);

#endif
