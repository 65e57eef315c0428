"""One pure protocol per venue: bytes and time in, events and commands out."""
