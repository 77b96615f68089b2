//! Transport: the HTTP clients and their connections, TLS, and responses up to their headers.

mod buffer;
mod classify;
mod client;
mod connection;
mod connector;
mod direct;
mod fast_path;
mod head_filter;
mod head_lines;
mod host_response;
mod pool;
mod replay;
mod response;
mod response_head;
mod tls;

pub(super) use self::client::{Clients, RequestKind, parse_headers};
pub use self::fast_path::usual_head;
pub(super) use self::host_response::{HostResponse, known_error};
pub(super) use self::response::ClientResponse;
pub(super) use self::response_head::MAX_HEAD_BYTES;
pub use self::response_head::clean_head;
