//! Shows what happens: a socket with one plug a way of telling.
