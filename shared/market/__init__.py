"""The market-data vocabulary: instruments, events, topics, books and recordings."""
