//! Why there is no such site.

use thiserror::Error;

use super::{LocatedDiagnostic, VariableError};

/// Why there is no such site.
#[derive(Debug, Error)]
pub enum SiteError {
    /// Something in a definition is wrong.
    #[error(transparent)]
    Definition(Box<LocatedDiagnostic>),
    /// The user's variables do not fit the definition.
    #[error(transparent)]
    Variable(VariableError),
    /// No site has this name.
    #[error("there is no site `{}`: {help}", .name.escape_debug())]
    Unknown {
        /// The name that was looked for.
        name: String,
        /// The nearest known name, and all of them.
        help: String,
    },
}

impl SiteError {
    /// Renders the error for somebody who has the definition in `file`, with its place marked if it has one.
    pub fn render(&self, file: &str, color: bool) -> String {
        match self {
            Self::Definition(error) => error.render(file, color),
            Self::Variable(_) | Self::Unknown { .. } => format!("error: {self}"),
        }
    }
}
