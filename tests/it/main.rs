//! Tests from outside: the program in an empty sandbox against real servers, terminals and signals,
//! and the rules of the source tree.

#![cfg(test)]

mod catalogue;
mod changed_sites;
mod clocks;
mod config_and_flags;
mod cost;
mod damaged_jpegs;
mod disk_full;
mod documents;
mod fault_injection;
mod faults;
mod fences;
mod file_names;
mod followed_pages;
mod foreign_files;
mod free_space;
mod fuzz;
mod home_and_names;
mod hook_progress;
mod hook_recipes;
mod hooks;
mod image_and_collection_failures;
mod interrupted_runs;
mod kill_pending_batch;
mod kill_random;
mod kill_steps;
mod ledger;
mod limits;
mod listing_orders;
mod locks;
#[cfg(feature = "object-store")]
mod object_store;
mod output;
mod paging;
mod power_cut;
#[cfg(feature = "nats")]
mod queue;
mod real_servers;
mod requests;
mod secrets;
mod shipped_sites;
mod signals;
mod signed_urls;
mod sites;
mod sites_new;
mod stdio;
mod support;
mod terminal_screen;
mod url_lists;
mod verify;
mod web_archive;
