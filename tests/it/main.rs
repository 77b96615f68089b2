//! What can be seen from outside: the rules of the source tree, and the program in an empty world.

#![cfg(test)]

mod again;
mod fences;
mod paging;
mod support;
mod trouble;
mod verify;
mod whole;
mod words;
