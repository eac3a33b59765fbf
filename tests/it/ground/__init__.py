"""Real servers for the integration tests: PostgreSQL, an S3 gateway, faults."""
