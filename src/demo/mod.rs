//! The built-in demo site: a gallery on a loopback port whose thumbs and originals are rendered on request.

mod catalogue;
mod draw;
mod gallery;
mod page;
mod response;
mod router;
mod server;

pub use draw::{Coding, Scene};
pub use gallery::{Gallery, Picture};
pub use router::{LoggedRequest, Resource};
pub use server::{DemoServer, serve};
