/* hold PID THREAD MILLISECONDS: stop one thread of a process, by its name, and let it go again.
   Prints "held" and "released". ptrace(2): PTRACE_SEIZE does not stop the other threads. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

static pid_t find(const char *pid, const char *name)
{
    char path[300], text[64];
    snprintf(path, sizeof path, "/proc/%s/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks) return 0;
    pid_t found = 0;
    for (struct dirent *task; !found && (task = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/%s/task/%.20s/comm", pid, task->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fgets(text, sizeof text, file)) {
            text[strcspn(text, "\n")] = 0;
            if (strcmp(text, name) == 0) found = atoi(task->d_name);
        }
        fclose(file);
    }
    closedir(tasks);
    return found;
}

int main(int count, char **words)
{
    if (count != 4) {
        fputs("usage: hold PID THREAD MILLISECONDS\n", stderr);
        return 2;
    }
    pid_t thread = find(words[1], words[2]);
    if (!thread) {
        fprintf(stderr, "hold: process %s has no thread '%s'\n", words[1], words[2]);
        return 1;
    }
    if (ptrace(PTRACE_SEIZE, thread, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, thread, 0, 0) < 0
        || waitpid(thread, 0, __WALL) < 0) {
        fprintf(stderr, "hold: thread %d: %s\n", thread, strerror(errno));
        return 1;
    }
    puts("held");
    fflush(stdout);
    long milliseconds = atol(words[3]);
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, 0);
    ptrace(PTRACE_DETACH, thread, 0, 0);
    puts("released");
    return 0;
}
