"""What the lake's writer and its readers must both know of Hudi's files: timeline, slices, upkeep."""
