/*
 * s3_cred_words.h - takes credential_process apart
 *
 * Pure.
 */
#ifndef COMMON_S3_CRED_WORDS_H
#define COMMON_S3_CRED_WORDS_H

#include <stddef.h>

/*
 * Puts the words of command, each with its zero, into room, which has as many
 * bytes as command with its zero, and pointers to them into words.  Returns
 * how many; 0: none, more than max, or an open quote.
 */
extern size_t
s3_cred_split(const char *command, char *room, char **words, size_t max);

#endif
