/*
 * command.h - the commands of basebackup/, for the command table of walship
 *
 * Each takes the arguments behind the program's name, argv[0] being the
 * command, and returns the exit code (status_exit_code).
 */
#ifndef BASEBACKUP_COMMAND_H
#define BASEBACKUP_COMMAND_H

extern int cmd_backup(int argc, char **argv);
extern int cmd_check(int argc, char **argv);
extern int cmd_drill(int argc, char **argv);
extern int cmd_expire(int argc, char **argv);
extern int cmd_extract(int argc, char **argv);
extern int cmd_list(int argc, char **argv);
extern int cmd_restore(int argc, char **argv);
extern int cmd_status(int argc, char **argv);
extern int cmd_verify(int argc, char **argv);

#endif
