pub(crate) mod classify;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod direct;
pub(crate) mod host_response;
pub(crate) mod response;
pub(crate) mod tls;
