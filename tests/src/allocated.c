/* Stands before a daemon's allocator (LD_PRELOAD) and counts bytes that are allocated and not freed, its
 * own and libzmq's, in the first eight bytes of the file $AMI_ALLOCATED/PID. Built by memory.rs. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Names under which glibc offers its own. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* Until the file is there. */
static _Atomic int64_t early;
static _Atomic int64_t *allocated = &early;

static void *more(void *block)
{
    atomic_fetch_add_explicit(allocated, malloc_usable_size(block), memory_order_relaxed);
    return block;
}

static void less(int64_t bytes)
{
    atomic_fetch_sub_explicit(allocated, bytes, memory_order_relaxed);
}

void *malloc(size_t size) { return more(__libc_malloc(size)); }
void *calloc(size_t count, size_t size) { return more(__libc_calloc(count, size)); }
void *memalign(size_t alignment, size_t size) { return more(__libc_memalign(alignment, size)); }
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **block, size_t alignment, size_t size)
{
    void *made = memalign(alignment, size);
    if (!made)
        return ENOMEM;
    *block = made;
    return 0;
}

void *realloc(void *block, size_t size)
{
    int64_t before = malloc_usable_size(block);
    void *moved = __libc_realloc(block, size);
    /* A block that could not be had leaves the old one; size 0 frees it. */
    if (moved || !size)
        less(before);
    return more(moved);
}

void free(void *block)
{
    less(malloc_usable_size(block));
    __libc_free(block);
}

__attribute__((constructor)) static void begin(void)
{
    const char *dir = getenv("AMI_ALLOCATED");
    char path[4096];
    if (!dir || snprintf(path, sizeof path, "%s/%d", dir, (int)getpid()) >= (int)sizeof path)
        return;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    if (!ftruncate(file, sizeof early)) {
        void *shared = mmap(NULL, sizeof early, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (shared != MAP_FAILED) {
            *(_Atomic int64_t *)shared = early;
            allocated = shared;
        }
    }
    close(file);
}
