// A target for calls that no FUSE server is asked about. Usage: calls work MODE, calls check MODE.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ACKS 8
#define PAGES 4
#define RECORD 8190

static const char *mode;

static int is(const char *name) { return !strcmp(mode, name); }

static int begins(const char *name) { return !strncmp(mode, name, strlen(name)); }

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(3);
}

static void must(int result, const char *what) {
    if (result < 0) fail(what);
}

// What a thread syncs after a while.
static void *sync_later(void *file) {
    usleep(1000);
    must(fsync(*(int *)file), "fsync");
    return 0;
}

static void sync_dir(void) {
    int dir = open(".", O_RDONLY | O_DIRECTORY);
    must(dir, "open the directory");
    must(fsync(dir), "fsync the directory");
    close(dir);
}

// A new file of this name that is durable, empty.
static int new_file(const char *name) {
    int file = open(name, O_CREAT | O_RDWR, 0600);
    must(file, name);
    must(fsync(file), "fsync");
    sync_dir();
    return file;
}

static void ack(int n) {
    char line[32];
    int len = snprintf(line, sizeof line, "ack %d\n", n);
    if (write(1, line, len) != len) exit(4);
}

// Where the entry of an ID lies: in one of the later pages.
static int slot(int n) { return 1024 * (1 + n % (PAGES - 1)) + n % 1000; }

static unsigned *mapping(void) {
    struct stat info;
    int file = open("map", O_RDWR);
    if (file < 0) return 0;
    must(fstat(file, &info), "fstat");
    if (info.st_size < PAGES * 4096) return 0;
    void *at = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) fail("mmap");
    close(file);
    return at;
}

static void work(void) {
    int life = atoi(getenv("PLUGPULL_LIFE") ? getenv("PLUGPULL_LIFE") : "1");
    int log = -1;
    unsigned *map = 0;
    char name[64], text[64];
    if (begins("log")) log = new_file("log");
    if (begins("map")) {
        int file = new_file("map");
        must(ftruncate(file, PAGES * 4096), "ftruncate");
        must(fsync(file), "fsync");
        map = mapping();
    }
    for (int i = 1; i <= ACKS; i++) {
        int n = life * 100 + i;
        snprintf(name, sizeof name, "n%d", n);
        if (begins("log-whole") || begins("log-cut")) {
            static char record[RECORD];
            memset(record, 'x', sizeof record);
            snprintf(record, 32, "%d\n", n);
            must(lseek(log, 0, SEEK_END), "lseek");
            if (write(log, record, RECORD) != RECORD) fail("write");
            must(fsync(log), "fsync");
        } else if (begins("log-stdio")) {
            // Its own buffer, which the kernel knows nothing of.
            static FILE *stream;
            if (!stream) stream = fdopen(log, "a");
            if (fprintf(stream, "%d\n", n) < 0) fail("fprintf");
            if (is("log-stdio-flushed") && fflush(stream)) fail("fflush");
        } else if (begins("log-acked-first") || begins("log-thread") || begins("log-child")) {
            // The sync comes with the ack, in this process or beside it; or it is waited for.
            int len = snprintf(text, sizeof text, "%d\n", n), waits = !!strstr(mode, "-awaited");
            must(lseek(log, 0, SEEK_END), "lseek");
            if (write(log, text, len) != len) fail("write");
            if (begins("log-acked-first")) {
                if (waits) must(fsync(log), "fsync");
                ack(n);
                if (!waits) must(fsync(log), "fsync");
                continue;
            }
            pthread_t thread;
            pid_t child = 0;
            if (begins("log-thread")) {
                if (pthread_create(&thread, 0, sync_later, &log)) fail("pthread_create");
            } else if (!(child = fork())) {
                sync_later(&log);
                _exit(0);
            }
            if (!waits) ack(n);
            if (begins("log-thread")) pthread_join(thread, 0);
            else waitpid(child, 0, 0);
            if (waits) ack(n);
            continue;
        } else if (begins("log")) {
            int len = snprintf(text, sizeof text, "%d\n", n);
            must(lseek(log, 0, SEEK_END), "lseek");
            if (write(log, text, len) != len) fail("write");
            if (is("log-syncfs")) must(syncfs(log), "syncfs");
            if (is("log-sync")) sync();
        } else if (begins("mode")) {
            int file = new_file(name);
            must(fchmod(file, 0640), "fchmod");
            if (is("mode-synced")) must(fsync(file), "fsync");
            close(file);
        } else if (begins("time")) {
            int file = new_file(name);
            struct timespec times[2] = {{n, 0}, {n, 0}};
            must(futimens(file, times), "futimens");
            if (is("time-synced")) must(fsync(file), "fsync");
            close(file);
        } else if (begins("xattr")) {
            int file = new_file("x");
            snprintf(name, sizeof name, "user.n%d", n);
            must(fsetxattr(file, name, "1", 1, 0), "fsetxattr");
            if (is("xattr-synced")) must(fsync(file), "fsync");
            close(file);
        } else if (is("map-late")) {
            // What is said is done one step later.
            ack(n);
            if (i > 1) map[n - 1] = n - 1;
            usleep(2000);
            continue;
        } else if (begins("map")) {
            // The entry first, then in the first page the last ID.
            map[slot(n)] = n;
            map[0] = n;
            if (is("map-synced")) must(msync(map, PAGES * 4096, MS_SYNC), "msync");
            // So that acks are seen one by one.
            usleep(2000);
        } else {
            errno = EINVAL;
            fail(mode);
        }
        ack(n);
    }
}

static int in_log(int n, size_t step) {
    FILE *file = fopen("log", "r");
    char line[RECORD];
    int found = 0;
    while (file && !found && (step ? fread(line, 1, step, file) == step : !!fgets(line, sizeof line, file)))
        found = atoi(line) == n;
    if (file) fclose(file);
    return found;
}

static void check(void) {
    char line[64], name[64];
    struct stat info;
    unsigned *map = begins("map") ? mapping() : 0;
    if (is("log-cut-refused") && !stat("log", &info) && info.st_size % RECORD) {
        printf("corrupt the log has %lld bytes of a record\n", (long long)info.st_size % RECORD);
    }
    if (is("map-order") && map && map[0]) {
        // The last ID is never there without its entry.
        if (map[slot(map[0])] != map[0]) printf("corrupt entry %u is missing\n", map[0]);
    }
    while (fgets(line, sizeof line, stdin)) {
        int n = atoi(line), there;
        snprintf(name, sizeof name, "n%d", n);
        if (begins("log-whole") || begins("log-cut")) there = in_log(n, RECORD);
        else if (begins("log")) there = in_log(n, 0);
        else if (begins("mode")) there = !stat(name, &info) && (info.st_mode & 0777) == 0640;
        else if (begins("time")) there = !stat(name, &info) && info.st_mtime == n;
        else if (begins("xattr")) {
            snprintf(name, sizeof name, "user.n%d", n);
            there = getxattr("x", name, 0, 0) == 1;
        } else if (is("map-late")) there = map && map[n] == (unsigned)n;
        else there = map && map[slot(n)] == (unsigned)n;
        if (!there) printf("lost %d\n", n);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    mode = argv[2];
    if (!strcmp(argv[1], "work")) work();
    else check();
    return 0;
}
