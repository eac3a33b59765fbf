/*
 * object.h - the stored object: header and frames (common/FORMAT.md)
 *
 * Sealing and opening of single frames are pure functions of an object's
 * header and key, so frames can be worked on in parallel and read by range.
 * On top of them: one-shot sealing of a buffer, and a reader that is fed
 * bytes as they arrive.  With a keyring that has keys, only sealed objects
 * are accepted; with an empty one, only unsealed ones.  No byte of plaintext
 * leaves before its frame is authenticated (sealed) or its checksums agree
 * (unsealed), and nothing is decided from a header before that.
 *
 * All failures to open are ST_CORRUPT, with the object named, except a sealed
 * object whose key is not in the keyring: ST_AUTH.
 *
 * Lock-free: an object and a keyring may be used by any number of threads at
 * once once made; codecs, readers and buffers belong to one thread.
 */
#ifndef COMMON_OBJECT_H
#define COMMON_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/key.h"

#define OBJECT_VERSION    1
#define OBJECT_NAME_MAX   200 /* bytes, without a terminating zero */
#define OBJECT_SALT_BYTES 16
#define OBJECT_HEADER_MAX (8 + 56 + 2 + OBJECT_NAME_MAX + 16)
#define OBJECT_FRAME_SIZE ((uint32_t) 1 << 20) /* what we write */
#define OBJECT_FRAME_MAX  ((uint32_t) 4 << 20) /* what we read */

enum object_kind
{
	OBJECT_WAL = 1, /* segment, .partial, .history, .backup */
	OBJECT_START = 2,
	OBJECT_PACK = 3,
	OBJECT_DIGEST = 4,
	OBJECT_MANIFEST = 5,
	OBJECT_MARK = 6, /* keep, expired */
	OBJECT_REPORT = 7
};

/* What an object is, apart from its content.  Name: the key without sysid. */
struct object_id
{
	enum object_kind kind;
	uint64_t system_identifier;
	const char *name;
};

/*
 * A header in memory, with the object's derived key.  Plain value of fixed
 * size; wipe with object_wipe.
 */
struct object
{
	enum object_kind kind;
	bool sealed;
	uint32_t frame_size;
	uint64_t system_identifier;
	uint64_t plain_len;
	uint8_t key_id[KEY_ID_BYTES];
	char name[OBJECT_NAME_MAX + 1];
	uint8_t header[OBJECT_HEADER_MAX]; /* as stored */
	size_t header_len;
	uint8_t key[KEY_BYTES];
};

/*
 * Begins a new object of exactly plain_len bytes of content: draws the salt,
 * builds the header, derives the key.  A second try at storing other bytes
 * under the same name is a new object.  ST_CONFIG: the name has bytes outside
 * [A-Za-z0-9._/-] or is too long, or the content is too long.
 */
extern enum status
object_begin(struct object *obj, const struct object_id *id,
			 uint64_t plain_len, uint32_t frame_size,
			 const struct keyring *ring, struct err *err) ERR_CHECK;

/*
 * Parses a stored header at the start of data and derives the key.  Checks
 * grammar, checksum, and that it is the object id says (an id->name of NULL
 * accepts any name).  The result is NOT yet authenticated.  ST_CORRUPT also
 * if len is too short; obj->header_len tells how long it was.
 */
extern enum status
object_parse(struct object *obj, const struct object_id *id, const void *data,
			 size_t len, const struct keyring *ring,
			 struct err *err) ERR_CHECK;

extern void object_wipe(struct object *obj);

/* Compression and decompression state, one per thread. */
struct object_codec;
extern enum status
object_codec_new(struct object_codec **out, struct err *err) ERR_CHECK;
extern void object_codec_free(struct object_codec *codec);

/* The most bytes a stored frame of plain_len bytes can take. */
extern size_t object_frame_bound(size_t plain_len);

/*
 * Seals plain_len (at most frame_size) bytes as frame number number into out,
 * which has room for object_frame_bound(plain_len) and does not overlap
 * plain.  final marks the last.  Two different plaintexts must never be sealed
 * with the same number and final of one object: that would be the same key
 * and nonce.  Only an object without content has an empty frame.  ST_NOMEM.
 */
extern enum status
object_seal_frame(const struct object *obj, struct object_codec *codec,
				  uint32_t number, bool final, const void *plain,
				  size_t plain_len, void *out, size_t *out_len,
				  struct err *err) ERR_CHECK;

/*
 * The stored length of the frame that begins at data, from its first bytes;
 * 0 if len is too short to tell (OBJECT_FRAME_PREFIX always suffices).
 * ST_CORRUPT if this cannot be a frame of obj.  Not authenticated.
 */
#define OBJECT_FRAME_PREFIX 28
extern enum status
object_frame_length(const struct object *obj, const void *data, size_t len,
					size_t *stored_len, struct err *err) ERR_CHECK;

/*
 * Opens one whole stored frame into out, which has room for obj->frame_size.
 * number and final must be what the frame was sealed with.  After a failure
 * what is in out must not be used.  ST_CORRUPT, ST_NOMEM.
 */
extern enum status
object_open_frame(const struct object *obj, struct object_codec *codec,
				  uint32_t number, bool final, const void *stored,
				  size_t stored_len, void *out, size_t *plain_len,
				  struct err *err) ERR_CHECK;

/*
 * A stored object in one piece.  Up to OBJECT_BUFFER_MEMORY of room, which
 * lets a 16 MiB segment in, it is memory of malloc's kind; beyond that an
 * unlinked file in spill_dir (NULL: TMPDIR, else /tmp), mapped, so that large
 * segments do not count as memory.  ST_IO: no room there, or no such folder.
 */
#define OBJECT_BUFFER_MEMORY ((size_t) 17 << 20)
struct object_buffer
{
	uint8_t *data;
	size_t len;
	size_t room;
	bool mapped;
};

extern enum status
object_buffer_new(struct object_buffer *buf, size_t room,
				  const char *spill_dir, struct err *err) ERR_CHECK;
extern void object_buffer_free(struct object_buffer *buf);

/*
 * The same for one that may hold an older object, whose memory is used again:
 * pages that the system need not clear once more.  Empty after a failure.
 */
extern enum status
object_buffer_reserve(struct object_buffer *buf, size_t room,
					  const char *spill_dir, struct err *err) ERR_CHECK;

/* Gives back the room behind len, as far as that is possible. */
extern void object_buffer_trim(struct object_buffer *buf);

/*
 * The most bytes a whole object of plain_len bytes can take, all of its frames
 * full but the last and one more (a pack's table, a manifest's summary).
 * SIZE_MAX if that is no size.
 */
extern size_t object_bound(uint64_t plain_len, uint32_t frame_size);

/*
 * Seals a whole object, taking its content from read, which is asked for
 * exactly plain_len bytes in order.  buf is empty or holds an older object,
 * and is empty after a failure.  A status of read's is returned as it is.
 * ST_NOMEM if buf's memory, where it is not mapped, would be more than
 * memory_max bytes, and then the content has to be read again from its
 * beginning.
 */
typedef enum status (*object_source)(void *arg, void *data, size_t len,
									 struct err *err);
extern enum status
object_seal(const struct object_id *id, uint64_t plain_len, object_source read,
			void *arg, const struct keyring *ring, const char *spill_dir,
			size_t memory_max, struct object_buffer *buf,
			struct err *err) ERR_CHECK;

/*
 * The 16 hex digits that tell WAL files of one name apart (FORMAT.md, section
 * 5), of content that comes as above; hex has OBJECT_WAL_DIGEST_HEX bytes.
 */
#define OBJECT_WAL_DIGEST_HEX 17
extern enum status object_wal_digest(uint64_t plain_len, object_source read,
									 void *arg, const struct keyring *ring,
									 char *hex, struct err *err) ERR_CHECK;

/* The same for content in memory; buf, whatever it was, is made by this. */
extern enum status
object_seal_bytes(const struct object_id *id, const void *plain,
				  size_t plain_len, const struct keyring *ring,
				  struct object_buffer *buf, struct err *err) ERR_CHECK;

/*
 * A reader of a whole object, fed in pieces of any size (its feed function
 * has a store_sink's shape, the reader being its arg).  Plaintext goes to
 * sink frame by frame, at most as many bytes as the header says; the last
 * frame goes there in object_reader_end.  Success is only what that says:
 * until then the sink's bytes must not be published.  A reader that has
 * failed repeats its failure; a status of sink's is returned as it is.
 * Takes 2 to 5 MiB, or 4 frames, whatever the object says.
 */
struct object_reader;
extern enum status
object_reader_new(const struct object_id *id, const struct keyring *ring,
				  enum status (*sink)(void *arg, const void *data, size_t len,
									  struct err *err),
				  void *arg, struct object_reader **out,
				  struct err *err) ERR_CHECK;
extern enum status object_reader_feed(void *reader, const void *data,
									  size_t len, struct err *err) ERR_CHECK;
extern enum status
object_reader_end(struct object_reader *reader, struct err *err) ERR_CHECK;

/* The header, once its first frame is authenticated; NULL before. */
extern const struct object *
object_reader_object(const struct object_reader *reader);
extern void object_reader_free(struct object_reader *reader);

/* Opens a whole object in memory; *out is freed by free(). */
extern enum status
object_open_bytes(const struct object_id *id, const void *stored,
				  size_t stored_len, const struct keyring *ring, uint8_t **out,
				  size_t *out_len, struct err *err) ERR_CHECK;

#endif
