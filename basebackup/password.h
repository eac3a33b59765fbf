/*
 * password.h - a password typed at the terminal
 */
#ifndef BASEBACKUP_PASSWORD_H
#define BASEBACKUP_PASSWORD_H

#include "common/err.h"

#define PASSWORD_MAX 1024 /* bytes that can be typed */

/*
 * Shows prompt on the terminal and reads a line from it without echo.
 * *password is freed with password_free.  ST_CONFIG without a terminal,
 * ST_CANCELLED when a signal or the end of input came first.
 */
extern enum status
password_ask(const char *prompt, char **password, struct err *err) ERR_CHECK;

/* Wipes and frees; NULL is fine. */
extern void password_free(char *password);

#endif
