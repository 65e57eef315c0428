"""Pure DataFrame to DataFrame steps, one module per layer."""
