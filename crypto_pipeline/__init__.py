"""The lake: Dagster assets that carry Kafka ranges into Hudi tables through Spark Connect."""
