//! Options as the user gave them, and the settings they resolve to.

pub mod archive;
pub mod arguments;
mod choice;
pub mod file;
pub mod network;
pub mod options;
mod place;
pub mod queue;
mod secret_source;
pub mod settings;
pub mod text;
mod value;

pub use crate::units::{ByteSize, HumanDuration};
pub use network::NetworkArgs;
pub use options::Options;
pub use queue::QueueArgs;
pub use secret_source::SecretSource;
pub use settings::Settings;
pub use value::{AnyHostSites, Header, OnLocked, PageRange, VariableValue};
