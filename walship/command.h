/*
 * command.h - the commands of the walship program that live in walship/
 *
 * Each gets its own arguments, its name being argv[0], and returns an exit
 * code.  Signals are set up and getopt is fresh when it is called.
 */
#ifndef WALSHIP_COMMAND_H
#define WALSHIP_COMMAND_H

extern int cmd_keygen(int argc, char **argv);

#endif
