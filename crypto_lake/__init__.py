"""The user's door to the lake: read, query and verify it without a JVM."""
