/*
 * wipe.c - heap memory that forgets what it held
 */
#include "common/wipe.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

void
wipe_free(void *block)
{
	if (block != NULL)
		explicit_bzero(block, malloc_usable_size(block));
	free(block);
}

/* realloc itself would leave the old block behind as it is. */
void *
wipe_realloc(void *block, size_t size)
{
	void *other;
	size_t old;

	if (block == NULL)
		return malloc(size);
	other = malloc(size);
	if (other == NULL)
		return NULL;
	old = malloc_usable_size(block);
	memcpy(other, block, old < size ? old : size);
	wipe_free(block);
	return other;
}
