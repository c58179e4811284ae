/* A program that nobody expects. For tests/vm/measured_boot.sh. */
int main(void) {
    return 0;
}
