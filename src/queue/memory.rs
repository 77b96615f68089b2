//! A bounded queue in memory.
use super::*;
pub(super) fn open(_: NonZeroUsize) -> Ends {
    unreachable!()
}
