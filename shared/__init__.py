"""Types and pure code that every part of the lakehouse speaks; imports none of them."""
