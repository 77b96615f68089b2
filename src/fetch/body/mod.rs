pub(crate) mod charset;
pub(crate) mod ranges;
pub(crate) mod stream;
