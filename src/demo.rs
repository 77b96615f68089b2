//! The built-in replica of a gallery, on a loopback port of its own.
