/*
 * A link of a given delay between two network namespaces.
 *
 *   delay NAMESPACE_A NAMESPACE_B DEVICE ONE_WAY_MICROSECONDS BYTES_PER_SECOND
 *
 * Each namespace has a TUN device of the name DEVICE. What one device sends is kept for the delay
 * and given to the other one, in order; with BYTES_PER_SECOND above 0, no faster than that. A
 * direction holds RING_BYTES; what does not fit is lost, as in a router. Prints "ready" and runs
 * until its standard input ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    PACKET_BYTES = 65536 + 10,  /* the kernel's note on segmentation comes before each */
    RING_BYTES = 128 << 20, /* 200 ms at 600 MB/s */
    READS_PER_TURN = 32     /* so that due packets do not wait for a busy sender */
};

struct packet {
    int64_t due;
    uint32_t size; /* 0: the next packet is at the ring's beginning */
    uint32_t stride;
};

struct direction {
    int from, to;
    int64_t delay, line_free_at;
    double ns_per_byte;
    char *ring;
    size_t head, tail, used;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int open_device(const char *namespace, const char *device)
{
    char path[256];
    struct ifreq request = {0};
    snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
    int ns = open(path, O_RDONLY);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        die(path);
    close(ns);
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (tun < 0)
        die("/dev/net/tun");
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    /* Segments of one connection travel up to 64 KiB in a packet, as between a kernel and its
     * network card: the MTU is an ordinary one and yet there are few packets to carry. */
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(tun, TUNSETIFF, &request) < 0)
        die("TUNSETIFF");
    if (ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0)
        die("TUNSETOFFLOAD");
    return tun;
}

static size_t room_at_tail(struct direction *d)
{
    const size_t most = sizeof(struct packet) + PACKET_BYTES;
    if (RING_BYTES - d->tail < most && d->used + (RING_BYTES - d->tail) <= RING_BYTES) {
        struct packet *skip = (struct packet *)(d->ring + d->tail);
        skip->size = 0;
        skip->stride = (uint32_t)(RING_BYTES - d->tail);
        d->used += skip->stride;
        d->tail = 0;
    }
    return RING_BYTES - d->used >= most;
}

static void take_in(struct direction *d)
{
    static _Thread_local char lost[PACKET_BYTES];
    for (int i = 0; i < READS_PER_TURN; i++) {
        int fits = room_at_tail(d) != 0;
        struct packet *p = (struct packet *)(d->ring + d->tail);
        ssize_t size = read(d->from, fits ? (char *)(p + 1) : lost, PACKET_BYTES);
        if (size <= 0)
            return;
        if (!fits)
            continue;
        int64_t now = now_ns();
        if (d->line_free_at < now)
            d->line_free_at = now;
        d->line_free_at += (int64_t)((double)size * d->ns_per_byte);
        p->due = d->line_free_at + d->delay;
        p->size = (uint32_t)size;
        p->stride = (uint32_t)((sizeof *p + (size_t)size + 15) & ~(size_t)15);
        d->tail += p->stride;
        d->used += p->stride;
    }
}

/* Give out what is due; return when the next packet is, or -1. */
static int64_t give_out(struct direction *d)
{
    while (d->used) {
        struct packet *p = (struct packet *)(d->ring + d->head);
        if (p->size && p->due > now_ns())
            return p->due;
        if (p->size && write(d->to, p + 1, p->size) < 0 && errno != EINVAL && errno != EIO)
            die("write");
        d->head = p->size ? d->head + p->stride : 0;
        d->used -= p->stride;
    }
    return -1;
}

static void *run(void *argument)
{
    struct direction *d = argument;
    prctl(PR_SET_TIMERSLACK, 1);
    for (;;) {
        int64_t due = give_out(d), wait = due < 0 ? 0 : due - now_ns();
        struct timespec timeout = {0, wait > 0 ? (long)wait : 0};
        struct pollfd ready = {d->from, POLLIN, 0};
        if (timeout.tv_nsec > 999999999)
            timeout.tv_nsec = 999999999;
        if (ppoll(&ready, 1, due < 0 ? NULL : &timeout, NULL) > 0)
            take_in(d);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct direction there = {0}, back = {0};
    pthread_t thread;
    char end;
    if (argc != 6)
        return 2;
    double rate = atof(argv[5]);
    there.from = back.to = open_device(argv[1], argv[3]);
    there.to = back.from = open_device(argv[2], argv[3]);
    there.delay = back.delay = atoll(argv[4]) * 1000;
    there.ns_per_byte = back.ns_per_byte = rate > 0 ? 1e9 / rate : 0;
    there.ring = malloc(RING_BYTES + sizeof(struct packet)); /* a mark may follow the last byte */
    back.ring = malloc(RING_BYTES + sizeof(struct packet));
    if (!there.ring || !back.ring || pthread_create(&thread, NULL, run, &there) ||
        pthread_create(&thread, NULL, run, &back))
        die("start");
    puts("ready");
    fflush(stdout);
    while (read(0, &end, 1) > 0)
        ;
    return 0;
}
