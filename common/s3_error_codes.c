/*
 * s3_error_codes.c - the codes of S3's error documents
 */
#include "common/s3_error_codes.h"

#include <stddef.h>
#include <string.h>

/*
 * Sources: "Error responses" of the Amazon S3 API Reference, as far as our
 * requests can meet them; Ceph's rgw, MinIO and Google's XML API for theirs.
 * What is not here is judged by its HTTP status.
 */
static const struct s3_error_meaning meanings[] = {
	{"AccessControlListNotSupported", ST_CONFIG, S3_HINT_NONE},
	{"AccessDenied", ST_AUTH, S3_HINT_PERMISSION},
	{"AccountProblem", ST_AUTH, S3_HINT_ACCOUNT},
	{"AccountSuspended", ST_AUTH, S3_HINT_ACCOUNT},
	{"AllAccessDisabled", ST_AUTH, S3_HINT_ACCOUNT},
	{"AuthorizationHeaderMalformed", ST_CONFIG, S3_HINT_REGION},
	{"AuthorizationQueryParametersError", ST_CONFIG, S3_HINT_NONE},
	{"BadDigest", ST_RETRY, S3_HINT_NONE},
	{"BandwidthLimitExceeded", ST_RETRY, S3_HINT_NONE},
	{"Busy", ST_RETRY, S3_HINT_NONE},
	{"ConcurrentModification", ST_RETRY, S3_HINT_NONE},
	{"ConditionalRequestConflict", ST_RETRY, S3_HINT_NONE},
	{"ConnectionClosedByRequester", ST_RETRY, S3_HINT_NONE},
	{"CredentialsNotSupported", ST_AUTH, S3_HINT_KEYS},
	{"EntityTooLarge", ST_CONFIG, S3_HINT_SIZE},
	{"EntityTooSmall", ST_CONFIG, S3_HINT_NONE},
	{"ExpiredToken", ST_AUTH, S3_HINT_TOKEN},
	{"IllegalLocationConstraintException", ST_CONFIG, S3_HINT_REGION},
	{"IllegalVersioningConfigurationException", ST_CONFIG, S3_HINT_NONE},
	{"IncompleteBody", ST_RETRY, S3_HINT_NONE},
	{"IncompleteSignature", ST_AUTH, S3_HINT_PROXY},
	{"IncorrectEndpoint", ST_CONFIG, S3_HINT_REGION},
	{"InternalError", ST_RETRY, S3_HINT_NONE},
	{"InvalidAccessKeyId", ST_AUTH, S3_HINT_KEYS},
	{"InvalidArgument", ST_CONFIG, S3_HINT_NONE},
	{"InvalidBucketName", ST_CONFIG, S3_HINT_BUCKET},
	{"InvalidBucketState", ST_CONFIG, S3_HINT_NONE},
	{"InvalidDigest", ST_RETRY, S3_HINT_NONE},
	{"InvalidEncryptionAlgorithmError", ST_CONFIG, S3_HINT_NONE},
	{"InvalidHostHeader", ST_CONFIG, S3_HINT_ADDRESSING},
	{"InvalidLocationConstraint", ST_CONFIG, S3_HINT_REGION},
	{"InvalidObjectState", ST_CONFIG, S3_HINT_ARCHIVED},
	{"InvalidPayer", ST_AUTH, S3_HINT_ACCOUNT},
	{"InvalidRange", ST_CONFIG, S3_HINT_NONE},
	{"InvalidRegion", ST_CONFIG, S3_HINT_REGION},
	{"InvalidRequest", ST_CONFIG, S3_HINT_NONE},
	{"InvalidRetentionPeriod", ST_CONFIG, S3_HINT_NONE},
	{"InvalidSecurity", ST_AUTH, S3_HINT_KEYS},
	{"InvalidSignature", ST_AUTH, S3_HINT_KEYS},
	{"InvalidStorageClass", ST_CONFIG, S3_HINT_CLASS},
	{"InvalidTag", ST_CONFIG, S3_HINT_NONE},
	{"InvalidToken", ST_AUTH, S3_HINT_TOKEN},
	{"InvalidURI", ST_CONFIG, S3_HINT_ADDRESSING},
	{"KMS.DisabledException", ST_CONFIG, S3_HINT_KMS},
	{"KMS.InvalidKeyUsageException", ST_CONFIG, S3_HINT_KMS},
	{"KMS.KMSInvalidStateException", ST_CONFIG, S3_HINT_KMS},
	{"KMS.NotFoundException", ST_CONFIG, S3_HINT_KMS},
	{"KMS.ThrottlingException", ST_RETRY, S3_HINT_NONE},
	{"KeyTooLongError", ST_CONFIG, S3_HINT_NONE},
	{"MalformedXML", ST_CONFIG, S3_HINT_PROXY},
	{"MaxMessageLengthExceeded", ST_CONFIG, S3_HINT_NONE},
	{"MetadataTooLarge", ST_CONFIG, S3_HINT_NONE},
	{"MethodNotAllowed", ST_CONFIG, S3_HINT_ADDRESSING},
	{"MissingAuthenticationToken", ST_AUTH, S3_HINT_PROXY},
	{"MissingContentLength", ST_CONFIG, S3_HINT_PROXY},
	{"MissingSecurityElement", ST_AUTH, S3_HINT_PROXY},
	{"MissingSecurityHeader", ST_AUTH, S3_HINT_PROXY},
	{"NoSuchBucket", ST_CONFIG, S3_HINT_BUCKET},
	{"NoSuchKey", ST_CONFIG, S3_HINT_NONE}, /* where it means no absence */
	{"NoSuchVersion", ST_CONFIG, S3_HINT_NONE},
	{"NotImplemented", ST_CONFIG, S3_HINT_NONE},
	{"NotSignedUp", ST_AUTH, S3_HINT_ACCOUNT},
	{"ObjectLocked", ST_CONFIG, S3_HINT_NONE},
	{"OperationAborted", ST_RETRY, S3_HINT_NONE},
	{"PermanentRedirect", ST_CONFIG, S3_HINT_REGION},
	{"PreconditionFailed", ST_EXISTS, S3_HINT_NONE},
	{"QuotaExceeded", ST_CONFIG, S3_HINT_QUOTA},
	{"Redirect", ST_CONFIG, S3_HINT_REGION},
	{"RequestExpired", ST_AUTH, S3_HINT_CLOCK},
	{"RequestHeaderSectionTooLarge", ST_CONFIG, S3_HINT_NONE},
	{"RequestLimitExceeded", ST_RETRY, S3_HINT_NONE},
	{"RequestTimeTooSkewed", ST_AUTH, S3_HINT_CLOCK},
	{"RequestTimeout", ST_RETRY, S3_HINT_NONE},
	{"ResponseInterrupted", ST_RETRY, S3_HINT_NONE},
	{"RestoreAlreadyInProgress", ST_CONFIG, S3_HINT_ARCHIVED},
	{"ServerNotInitialized", ST_RETRY, S3_HINT_NONE},
	{"ServiceUnavailable", ST_RETRY, S3_HINT_NONE},
	{"SignatureDoesNotMatch", ST_AUTH, S3_HINT_KEYS},
	{"SlowDown", ST_RETRY, S3_HINT_NONE},
	{"SlowDownRead", ST_RETRY, S3_HINT_NONE},
	{"SlowDownWrite", ST_RETRY, S3_HINT_NONE},
	{"StorageFull", ST_CONFIG, S3_HINT_QUOTA},
	{"TemporaryRedirect", ST_CONFIG, S3_HINT_REGION},
	{"Throttling", ST_RETRY, S3_HINT_NONE},
	{"ThrottlingException", ST_RETRY, S3_HINT_NONE},
	{"TokenCodeInvalidError", ST_AUTH, S3_HINT_TOKEN},
	{"TokenRefreshRequired", ST_AUTH, S3_HINT_TOKEN},
	{"TooManyRequests", ST_RETRY, S3_HINT_NONE},
	{"UnauthorizedAccess", ST_AUTH, S3_HINT_PERMISSION},
	{"UnauthorizedAccessError", ST_AUTH, S3_HINT_PERMISSION},
	{"UnexpectedContent", ST_CONFIG, S3_HINT_PROXY},
	{"UnexpectedIPError", ST_AUTH, S3_HINT_NONE},
	{"UnknownError", ST_RETRY, S3_HINT_NONE},
	{"UnsupportedSignature", ST_CONFIG, S3_HINT_SIGNATURE},
	{"UserProjectMissing", ST_AUTH, S3_HINT_ACCOUNT},
	{"UserSuspended", ST_AUTH, S3_HINT_ACCOUNT},
	{"XAmzContentSHA256Mismatch", ST_RETRY, S3_HINT_NONE},
	{"XMinioAdminBucketQuotaExceeded", ST_CONFIG, S3_HINT_QUOTA},
	{"XMinioServerNotInitialized", ST_RETRY, S3_HINT_NONE},
	{"XMinioStorageFull", ST_CONFIG, S3_HINT_QUOTA},
};

const struct s3_error_meaning *
s3_error_meaning(const char *code)
{
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (strcmp(meanings[i].code, code) == 0)
			return &meanings[i];
	return NULL;
}
