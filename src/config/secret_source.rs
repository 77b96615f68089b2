//! Where secrets come from: the variables of the environment.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;

/// The variables of the environment, of which any may be a secret. Cheap to clone.
#[derive(Clone, Default)]
pub struct SecretSource(Arc<[(OsString, OsString)]>);

impl SecretSource {
    /// Takes these variables.
    pub fn new(variables: &[(OsString, OsString)]) -> Self {
        Self(variables.into())
    }

    /// The value of a variable; an empty one counts as unset.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        let mut variables = self.0.iter();
        let (_, value) = variables.find(|(known, value)| known == name && !value.is_empty())?;
        Some(value)
    }
}

impl fmt::Debug for SecretSource {
    /// Without the variables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSource").finish_non_exhaustive()
    }
}
