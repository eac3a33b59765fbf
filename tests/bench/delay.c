/*
 * delay.c - a long wire: delay PORT UPSTREAM_PORT RTT_MS
 *
 * Listens on the loopback and passes bytes on to another port there, each half
 * a round trip later than it came, in either direction, at any rate; the
 * first byte of a connection waits a round trip more, for the handshake that
 * a loopback answers at once.  Made to be no bottleneck itself: a reader and
 * a writer a direction, whose queue holds what is on the wire.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t) 64 << 10)
#define QUEUE_MAX   1024 /* chunks on the wire: 64 MiB */
#define MS          INT64_C(1000000)

struct chunk
{
	struct chunk *next;
	int64_t due_ns;
	size_t len; /* 0: the end */
	char data[CHUNK_BYTES];
};

struct wire
{
	int from;
	int to;
	int64_t first_ns; /* what the first byte waits, and all others */
	int64_t delay_ns;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct chunk *head;
	struct chunk **tail;
	size_t length;
	bool broken; /* the writer has ended */
};

struct connection
{
	struct wire up;
	struct wire down;
	int client;
};

static int64_t rtt_ns;
static in_port_t upstream_port;

static int64_t
now_ns(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 * MS + now.tv_nsec;
}

static void
sleep_until(int64_t at_ns)
{
	struct timespec at = {.tv_sec = at_ns / (1000 * MS),
						  .tv_nsec = at_ns % (1000 * MS)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

static bool
put(struct wire *w, struct chunk *chunk)
{
	bool broken;

	(void) pthread_mutex_lock(&w->lock);
	while (w->length >= QUEUE_MAX && !w->broken)
		(void) pthread_cond_wait(&w->changed, &w->lock);
	broken = w->broken;
	*w->tail = chunk;
	w->tail = &chunk->next;
	w->length++;
	(void) pthread_cond_broadcast(&w->changed);
	(void) pthread_mutex_unlock(&w->lock);
	return !broken;
}

static struct chunk *
take(struct wire *w)
{
	struct chunk *chunk;

	(void) pthread_mutex_lock(&w->lock);
	while (w->head == NULL)
		(void) pthread_cond_wait(&w->changed, &w->lock);
	chunk = w->head;
	w->head = chunk->next;
	if (w->head == NULL)
		w->tail = &w->head;
	w->length--;
	(void) pthread_cond_broadcast(&w->changed);
	(void) pthread_mutex_unlock(&w->lock);
	return chunk;
}

static void *
run_reader(void *arg)
{
	struct wire *w = arg;
	bool more = true;

	while (more)
	{
		struct chunk *chunk = malloc(sizeof(*chunk));
		ssize_t n;

		if (chunk == NULL)
			abort();
		n = read(w->from, chunk->data, sizeof(chunk->data));
		chunk->next = NULL;
		chunk->len = n > 0 ? (size_t) n : 0;
		chunk->due_ns = now_ns() + w->first_ns;
		w->first_ns = w->delay_ns;
		/* Once in the queue it is the writer's. */
		more = n > 0;
		more = put(w, chunk) && more;
	}
	return NULL;
}

static bool
write_all(int fd, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t n = write(fd, data, len);

		if (n <= 0)
			return false;
		data += n;
		len -= (size_t) n;
	}
	return true;
}

static void *
run_writer(void *arg)
{
	struct wire *w = arg;
	bool more = true;
	bool sound = true;

	while (more)
	{
		struct chunk *chunk = take(w);

		sleep_until(chunk->due_ns);
		more = chunk->len > 0;
		if (sound && more)
			sound = write_all(w->to, chunk->data, chunk->len);
		free(chunk);
		if (!sound)
		{
			(void) pthread_mutex_lock(&w->lock);
			w->broken = true;
			(void) pthread_cond_broadcast(&w->changed);
			(void) pthread_mutex_unlock(&w->lock);
			(void) shutdown(w->from, SHUT_RD);
		}
	}
	(void) shutdown(w->to, SHUT_WR);
	return NULL;
}

static void
init_wire(struct wire *w, int from, int to, int64_t first_ns)
{
	*w = (struct wire){
		.from = from, .to = to, .first_ns = first_ns, .delay_ns = rtt_ns / 2};
	w->tail = &w->head;
	(void) pthread_mutex_init(&w->lock, NULL);
	(void) pthread_cond_init(&w->changed, NULL);
}

static int
connect_upstream(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_port = htons(upstream_port),
								  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
		return fd;
	(void) close(fd);
	return -1;
}

static void *
run_connection(void *arg)
{
	struct connection *c = arg;
	int upstream = connect_upstream();
	pthread_t threads[4];

	if (upstream >= 0)
	{
		init_wire(&c->up, c->client, upstream, rtt_ns + rtt_ns / 2);
		init_wire(&c->down, upstream, c->client, rtt_ns / 2);
		if (pthread_create(&threads[0], NULL, run_reader, &c->up) != 0 ||
			pthread_create(&threads[1], NULL, run_writer, &c->up) != 0 ||
			pthread_create(&threads[2], NULL, run_reader, &c->down) != 0 ||
			pthread_create(&threads[3], NULL, run_writer, &c->down) != 0)
			abort();
		for (size_t i = 0; i < 4; i++)
			(void) pthread_join(threads[i], NULL);
		(void) close(upstream);
	}
	(void) close(c->client);
	free(c);
	return NULL;
}

static void
serve(int listener)
{
	for (;;)
	{
		struct connection *c = malloc(sizeof(*c));
		int on = 1;
		pthread_t thread;

		if (c == NULL)
			abort();
		c->client = accept(listener, NULL, NULL);
		if (c->client < 0)
			exit(1);
		(void) setsockopt(c->client, IPPROTO_TCP, TCP_NODELAY, &on,
						  sizeof(on));
		if (pthread_create(&thread, NULL, run_connection, c) != 0)
			abort();
		(void) pthread_detach(thread);
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (argc != 4 || listener < 0)
		return 2;
	(void) signal(SIGPIPE, SIG_IGN);
	address.sin_port = htons((in_port_t) strtoul(argv[1], NULL, 10));
	upstream_port = (in_port_t) strtoul(argv[2], NULL, 10);
	rtt_ns = (int64_t) strtoul(argv[3], NULL, 10) * MS;
	(void) setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(listener, SOMAXCONN) != 0)
		return 1;
	serve(listener);
}
