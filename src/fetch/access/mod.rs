pub(crate) mod mirror;
pub(crate) mod policy;
pub(crate) mod resolver;
pub(crate) mod robots;
