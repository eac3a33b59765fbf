/*
 * s3_url.c - where a bucket is, and how an object in it is addressed
 */
#include "common/s3_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME         "s3://"
#define DEFAULT_REGION "us-east-1"
#define AWS_DOMAIN     ".amazonaws.com"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c);
}

static bool
is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/*
 * More than AWS allows for a bucket's name, since other stores and old AWS
 * buckets have longer ones, with underscores and upper case.
 */
static bool
bucket_valid(const char *name, size_t len)
{
	if (len == 0 || len >= S3_BUCKET_SIZE || !is_alnum(name[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(name[i]) && strchr("._-", name[i]) == NULL)
			return false;
	return true;
}

/* Whether the bucket's name can be a label, or several, of a host name. */
static bool
bucket_is_host_name(const char *name)
{
	size_t len = strlen(name);

	if (len > 63 || !is_lower_alnum(name[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (!is_lower_alnum(name[i]) && name[i] != '-' && name[i] != '.')
			return false;
		if (name[i] == '.' &&
			(!is_lower_alnum(name[i - 1]) || !is_lower_alnum(name[i + 1])))
			return false;
	}
	return true;
}

/* No component may be empty, "." or ".."; no byte may be a control one. */
static bool
prefix_valid(const char *text, size_t len)
{
	size_t start = 0;

	for (size_t i = 0; i <= len; i++)
	{
		size_t size = i - start;

		if (i < len && text[i] != '/')
		{
			if ((unsigned char) text[i] < ' ' || text[i] == 0x7f)
				return false;
			continue;
		}
		if (size == 0 || (size == 1 && text[start] == '.') ||
			(size == 2 && text[start] == '.' && text[start + 1] == '.'))
			return false;
		start = i + 1;
	}
	return true;
}

static enum status
parse_repository(const char *repository, struct s3_address *out,
				 struct err *err)
{
	const char *name;
	const char *prefix;
	size_t name_len;
	size_t prefix_len;

	if (strncmp(repository, SCHEME, strlen(SCHEME)) != 0)
		return err_set(err, ST_CONFIG,
					   "\"repository\" \"%s\" does not begin with \"%s\"",
					   repository, SCHEME);
	name = repository + strlen(SCHEME);
	name_len = strcspn(name, "/");
	if (!bucket_valid(name, name_len))
		return err_set(err, ST_CONFIG,
					   "\"repository\" \"%s\" does not name a bucket",
					   repository);
	memcpy(out->bucket, name, name_len);
	out->bucket[name_len] = '\0';

	prefix = name + name_len;
	if (*prefix == '/')
		prefix++;
	prefix_len = strlen(prefix);
	if (prefix_len > 1 && prefix[prefix_len - 1] == '/')
		prefix_len--;
	out->prefix[0] = '\0';
	if (prefix_len == 0)
		return ST_OK;
	if (prefix_len + 2 > sizeof out->prefix ||
		!prefix_valid(prefix, prefix_len))
		return err_set(err, ST_CONFIG,
					   "\"repository\" \"%s\" has an invalid prefix",
					   repository);
	memcpy(out->prefix, prefix, prefix_len);
	memcpy(out->prefix + prefix_len, "/", 2);
	return ST_OK;
}

/* Where in authority the port begins, at its colon; its length if none. */
static size_t
find_port(const char *authority)
{
	const char *bracket = strchr(authority, ']');

	return bracket != NULL ? (size_t) (bracket + 1 - authority)
						   : strcspn(authority, ":");
}

/* A host name, an IPv4 address or an IPv6 one in brackets. */
static bool
host_valid(const char *host, size_t len)
{
	const char *allowed = "-._";

	if (len > 2 && host[0] == '[' && host[len - 1] == ']')
	{
		host++;
		len -= 2;
		allowed = ":.";
	}
	if (len == 0 || len > 253)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(host[i]) && strchr(allowed, host[i]) == NULL)
			return false;
	return true;
}

/* ":8000"; nothing but digits, 1 to 65535. */
static bool
port_valid(const char *port)
{
	size_t digits = strspn(port + 1, "0123456789");
	unsigned long value;

	if (port[0] != ':' || digits == 0 || digits > 5 ||
		port[1 + digits] != '\0')
		return false;
	value = strtoul(port + 1, NULL, 10);
	return value >= 1 && value <= 65535;
}

static bool
is_ip_address(const char *host, size_t len)
{
	if (host[0] == '[')
		return true;
	return strspn(host, "0123456789.") >= len;
}

static bool
ends_with(const char *text, size_t len, const char *end)
{
	size_t end_len = strlen(end);

	return len >= end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

struct endpoint
{
	char authority[S3_HOST_SIZE - S3_BUCKET_SIZE];
	size_t host_len;
};

static enum status
parse_endpoint(const char *text, struct endpoint *endpoint,
			   struct s3_address *out, struct err *err)
{
	const char *rest = text;
	size_t len;

	if (strncmp(rest, "https://", 8) == 0)
	{
		out->https = true;
		rest += 8;
	}
	else if (strncmp(rest, "http://", 7) == 0)
		rest += 7;
	else
	{
		(void) err_set(err, ST_CONFIG,
					   "\"s3_endpoint\" \"%s\" does not begin with "
					   "\"https://\" or \"http://\"",
					   text);
		return err_hint(err, "Write it as https://host or https://host:port.");
	}
	len = strlen(rest);
	if (len > 0 && rest[len - 1] == '/')
		len--;
	if (len >= sizeof endpoint->authority)
		return err_set(err, ST_CONFIG, "\"s3_endpoint\" is too long");
	memcpy(endpoint->authority, rest, len);
	endpoint->authority[len] = '\0';
	endpoint->host_len = find_port(endpoint->authority);
	rest = endpoint->authority + endpoint->host_len;

	/* Not repeated here: it might carry a user's name and password. */
	if (strpbrk(endpoint->authority, "@/?#") != NULL)
		return err_set(err, ST_CONFIG,
					   "\"s3_endpoint\" has more than a host and a port");
	if (!host_valid(endpoint->authority, endpoint->host_len) ||
		(*rest != '\0' && !port_valid(rest)))
		return err_set(err, ST_CONFIG,
					   "\"s3_endpoint\" \"%s\" has an invalid host or port",
					   text);

	/* curl leaves the usual port out of the Host header, and so do we. */
	if (strcmp(rest, out->https ? ":443" : ":80") == 0)
		endpoint->authority[endpoint->host_len] = '\0';
	return ST_OK;
}

/* Amazon's endpoint for a region; China has a domain of its own. */
static void
aws_endpoint(const char *region, struct endpoint *endpoint)
{
	(void) snprintf(endpoint->authority, sizeof endpoint->authority,
					"s3.%s%s%s", region, AWS_DOMAIN,
					strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
	endpoint->host_len = strlen(endpoint->authority);
}

static enum status
choose_addressing(enum config_addressing addressing,
				  const struct endpoint *endpoint, struct s3_address *out,
				  struct err *err)
{
	bool possible = bucket_is_host_name(out->bucket) &&
					!is_ip_address(endpoint->authority, endpoint->host_len);

	switch (addressing)
	{
		case ADDRESSING_PATH:
			out->virtual_host = false;
			break;
		case ADDRESSING_VIRTUAL:
			if (!possible)
				return err_set(err, ST_CONFIG,
							   "cannot address bucket \"%s\" as a host name "
							   "below \"%s\"",
							   out->bucket, endpoint->authority);
			out->virtual_host = true;
			break;
		case ADDRESSING_AUTO:
			out->virtual_host =
				possible && out->aws && strchr(out->bucket, '.') == NULL;
			break;
	}
	if (out->virtual_host)
		(void) snprintf(out->host, sizeof out->host, "%s.%s", out->bucket,
						endpoint->authority);
	else
		(void) snprintf(out->host, sizeof out->host, "%s",
						endpoint->authority);
	return ST_OK;
}

static enum status
parse_region(const char *region, struct s3_address *out, struct err *err)
{
	size_t len;

	if (region == NULL)
		region = DEFAULT_REGION;
	len = strlen(region);
	if (len == 0 || len >= sizeof out->region)
		return err_set(err, ST_CONFIG, "\"s3_region\" has an invalid length");
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(region[i]) && strchr("-_.", region[i]) == NULL)
			return err_set(err, ST_CONFIG, "\"s3_region\" is not a region");
	memcpy(out->region, region, len + 1);
	return ST_OK;
}

enum status
s3_address_parse(const char *repository, const char *endpoint,
				 const char *region, enum config_addressing addressing,
				 struct s3_address *out, struct err *err)
{
	struct s3_address parsed = {0};
	struct endpoint parts = {.host_len = 0};
	enum status status;

	status = parse_repository(repository, &parsed, err);
	if (status == ST_OK)
		status = parse_region(region, &parsed, err);
	if (status != ST_OK)
		return status;

	if (endpoint == NULL)
	{
		parsed.https = true;
		aws_endpoint(parsed.region, &parts);
	}
	else
		status = parse_endpoint(endpoint, &parts, &parsed, err);
	parsed.aws = ends_with(parts.authority, parts.host_len, AWS_DOMAIN) ||
				 ends_with(parts.authority, parts.host_len, AWS_DOMAIN ".cn");
	if (status == ST_OK)
		status = choose_addressing(addressing, &parts, &parsed, err);
	if (status == ST_OK)
		*out = parsed;
	return status;
}

void
s3_address_move(struct s3_address *address, const char *region)
{
	struct endpoint endpoint;
	size_t bucket = address->virtual_host ? strlen(address->bucket) + 1 : 0;

	aws_endpoint(address->region, &endpoint);
	if (strcmp(address->host + bucket, endpoint.authority) == 0)
	{
		aws_endpoint(region, &endpoint);
		(void) snprintf(address->host + bucket, sizeof address->host - bucket,
						"%s", endpoint.authority);
	}
	(void) snprintf(address->region, sizeof address->region, "%s", region);
}

static bool
is_unreserved(char c)
{
	return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

size_t
s3_uri_encode(const char *text, bool keep_slash, char *out)
{
	static const char digits[] = "0123456789ABCDEF";
	char *pos = out;

	for (; *text != '\0'; text++)
	{
		unsigned byte = (unsigned char) *text;

		if (is_unreserved(*text) || (keep_slash && *text == '/'))
			*pos++ = *text;
		else
		{
			*pos++ = '%';
			*pos++ = digits[byte >> 4];
			*pos++ = digits[byte & 15];
		}
	}
	*pos = '\0';
	return (size_t) (pos - out);
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
s3_uri_decode(char *text)
{
	char *out = text;

	while (*text != '\0')
	{
		if (*text == '%')
		{
			int high = hex_value(text[1]);
			int low = high < 0 ? -1 : hex_value(text[2]);

			if (low < 0 || (high == 0 && low == 0))
				return false;
			*out++ = (char) (unsigned char) (high * 16 + low);
			text += 3;
			continue;
		}
		*out++ = (char) (*text == '+' ? ' ' : *text);
		text++;
	}
	*out = '\0';
	return true;
}

char *
s3_address_path(const struct s3_address *address, const char *key)
{
	size_t len = strlen(address->bucket) + strlen(address->prefix) +
				 (key == NULL ? 0 : strlen(key));
	char *out = malloc(S3_ENCODED_SIZE(len) + 2);
	char *pos = out;

	if (out == NULL)
		return NULL;
	*pos++ = '/';
	if (!address->virtual_host)
	{
		pos += s3_uri_encode(address->bucket, false, pos);
		if (key != NULL)
			*pos++ = '/';
	}
	if (key != NULL)
	{
		pos += s3_uri_encode(address->prefix, true, pos);
		pos += s3_uri_encode(key, true, pos);
	}
	*pos = '\0';
	return out;
}

void
s3_address_text(const struct s3_address *address, char *out, size_t size)
{
	(void) snprintf(out, size, "%s://%s%s%s",
					address->https ? "https" : "http", address->host,
					address->virtual_host ? "" : "/",
					address->virtual_host ? "" : address->bucket);
}

const char *
s3_address_relative(const struct s3_address *address, const char *name)
{
	size_t len = strlen(address->prefix);

	return strncmp(name, address->prefix, len) == 0 ? name + len : NULL;
}

char *
s3_query_build(const struct s3_param *params, size_t nparams)
{
	const struct s3_param *order[S3_PARAMS_MAX];
	size_t room = 1;
	char *out;
	char *pos;

	for (size_t i = 0; i < nparams; i++)
	{
		size_t at = i;

		for (; at > 0 && strcmp(order[at - 1]->name, params[i].name) > 0; at--)
			order[at] = order[at - 1];
		order[at] = &params[i];
		room += strlen(params[i].name) + 2;
		room += S3_ENCODED_SIZE(strlen(params[i].value));
	}
	out = pos = malloc(room);
	for (size_t i = 0; out != NULL && i < nparams; i++)
	{
		if (i > 0)
			*pos++ = '&';
		pos += s3_uri_encode(order[i]->name, false, pos);
		*pos++ = '=';
		pos += s3_uri_encode(order[i]->value, false, pos);
	}
	if (out != NULL)
		*pos = '\0';
	return out;
}
