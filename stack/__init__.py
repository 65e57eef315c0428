"""The embedded stack: check the machine, start, watch and stop every service."""
