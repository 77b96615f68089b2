//! What may be requested: the policy for addresses, DNS without private addresses, robots.txt, the
//! mirror that is used instead of a site, and the cookies that go with a request.

mod cookie_file;
mod cookies;
mod mirror;
mod origins;
mod policy;
mod private;
mod resolver;
mod robots;
mod secret;
mod site_rules;

pub(super) use self::cookie_file::CookieFile;
pub(super) use self::cookies::HopCookies;
pub(super) use self::mirror::Mirror;
pub use self::origins::SiteOrigins;
pub(super) use self::origins::{host_of, origin_of, same_origin, without_password};
pub(super) use self::policy::{MAX_REDIRECTS, Policy};
#[cfg(test)]
pub(super) use self::resolver::FreeNames;
pub(super) use self::resolver::{LookupError, PrivateAddressError, Resolver};
pub(super) use self::robots::{MAX_ROBOTS_BYTES, RobotRules};
pub use self::secret::{Secret, Secrets};
pub use self::site_rules::SiteRules;
pub(super) use self::site_rules::Subject;
