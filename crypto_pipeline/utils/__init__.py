"""Kafka ranges, Hudi commits and Spark sessions, without Dagster."""
