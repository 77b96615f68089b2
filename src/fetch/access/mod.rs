//! What may be requested: the policy for addresses, DNS without private addresses, robots.txt, and
//! the mirror that is used instead of a site.

mod mirror;
mod origins;
mod policy;
mod private;
mod resolver;
mod robots;

pub(super) use self::mirror::Mirror;
pub use self::origins::SiteOrigins;
pub(super) use self::origins::{host_of, origin_of, same_origin, without_password};
pub(super) use self::policy::{MAX_REDIRECTS, Policy};
pub(super) use self::resolver::{LookupError, PrivateAddressError, Resolver};
pub(super) use self::robots::{MAX_ROBOTS_BYTES, RobotRules};
