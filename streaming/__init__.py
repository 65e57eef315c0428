"""The collector: exchange WebSockets in, Kafka records out."""
