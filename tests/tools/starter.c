/* What a host might put into an initramfs before the agent: PID 1 that starts it and leaves a child behind. The child
 * waits until the agent has told IMA what to measure, and then runs a program that nobody expects. For
 * tests/vm/measured_boot.sh. */
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(void) {
    if (fork() != 0) {
        execl("/agent", "/init", (char *)0);
        return 1;
    }
    for (int i = 0; i < 6000; ++i) { /* a minute */
        char policy[512] = {0};
        const int fd = open("/sys/kernel/security/ima/policy", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            const ssize_t got = read(fd, policy, sizeof policy - 1);
            close(fd);
            if (got > 0 && strstr(policy, "BPRM_CHECK") != 0)
                execl("/stranger", "/stranger", (char *)0);
        }
        const struct timespec pause = {.tv_sec = 0, .tv_nsec = 10000000};
        nanosleep(&pause, 0);
    }
    return 1;
}
