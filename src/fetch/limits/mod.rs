pub(crate) mod bandwidth;
pub(crate) mod host;
pub(crate) mod rate;
pub(crate) mod retry;
pub(crate) mod stall;
