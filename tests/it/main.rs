//! What can be seen from outside: the rules of the source tree, and the program in an empty world.

mod cost;
mod fences;
mod support;
