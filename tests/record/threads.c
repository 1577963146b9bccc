/* A loop and a journal's threads, for the sanitizers: some lives in the folder that the first argument names. */
#define _GNU_SOURCE
#include "journal.h"

int main(int count, char **arguments) {
    static char record[600];
    static const unsigned char boot[16];
    for (uint64_t life = 1; count == 2 && life <= 3; life++) {
        Journal *j = calloc(1, sizeof *j);
        j->worker = 1;
        j->epoch = life;
        j->segment_size = j->size = 1 << 16;
        snprintf(j->ring_path, sizeof j->ring_path, "%s/%llu.ring", arguments[1], (unsigned long long)life);
        if (start(j, arguments[1], boot)) return 2;
        unsigned most = 0; /* commits of the loop's under way at once */
        for (int number = 0; number < 20000; number++) {
            uint64_t seq;
            if (number % 700 == 0) { /* the writer goes to sleep, so that the next commit is the loop's */
                wait_durable(j, j->last, 1000000000);
                usleep(2000);
            }
            while (!(seq = append(j, record, 1 + number % 600, 0))) wait_durable(j, j->last, 1000000000);
            if (number % 50 == 0) store_wanted(j, seq);
            if (number % 7 == 0) wake(j);
            if (number % 11 == 0) look(j, 0);
            most = j->flying > most ? j->flying : most;
            if (load_durable(j) > seq || load_failures(j) || load_trouble(j) || is_stale(j, 1000000000) || is_short(j)) return 3;
        }
        if (most != FLIGHTS && !j->grounded) return 5;
        if (!wait_durable(j, j->last, 10000000000) || finish(j, 10000000000) != 1) return 4;
        let_go(j);
    }
    return 0;
}
