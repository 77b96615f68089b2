//! What can be seen from outside: the rules of the source tree, and the program in an empty world.

#![cfg(test)]

mod again;
mod clocks;
mod cost;
mod faults;
mod fences;
mod full;
mod fuzz;
mod given;
mod hooks;
mod injected;
mod killed;
mod kills;
mod ledgers;
mod limits;
mod locks;
mod names;
mod odd;
mod paging;
mod piled;
mod power;
mod room;
mod screen;
mod signals;
mod streams;
mod support;
mod told;
mod trouble;
mod verify;
mod waiting;
mod whole;
mod words;
