"""A venue on this machine: real sockets that speak an exchange's own protocol."""
