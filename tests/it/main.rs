//! What can be seen from outside: the rules of the source tree, and the program in an empty world.

mod fences;
mod screen;
mod signals;
mod streams;
mod support;
mod told;
