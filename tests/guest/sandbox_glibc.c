// An ordinary program in C, for the sandbox to run: a static one of glibc, with the calls that its start-up and stdio
// make.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(void) {
    const time_t now = time(NULL);
    printf("year: %s\n", localtime(&now)->tm_year > 100 ? "this century" : "another");
    printf("terminal: %d\n", isatty(1));
    DIR *in = opendir("/in");
    for (struct dirent *entry; in && (entry = readdir(in));)
        if (entry->d_name[0] != '.')
            printf("input: %s\n", entry->d_name);
    char *large = malloc(4 << 20);
    memset(large, 1, 4 << 20);
    large = realloc(large, 6 << 20);
    free(large);
    FILE *file = fopen("/out/.draft", "w");
    fprintf(file, "%d\n", 42);
    fclose(file);
    return rename("/out/.draft", "/out/final") != 0;
}
