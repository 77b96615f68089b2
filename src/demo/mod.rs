//! The built-in replica of a gallery, on a loopback port of its own: pages, thumbs and originals that are
//! drawn when somebody asks for them.

mod answer;
mod catalogue;
mod draw;
mod gallery;
mod house;
mod page;
mod server;

pub use draw::{Coding, Scene};
pub use gallery::{Gallery, Picture};
pub use house::{Asked, What};
pub use server::{Served, serve};
