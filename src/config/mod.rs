//! Options as the user gave them, and the settings they resolve to.

pub mod archive;
pub mod arguments;
mod choice;
pub mod file;
pub mod network;
pub mod options;
pub mod settings;
pub mod text;
mod value;

pub use crate::units::{ByteSize, HumanDuration};
pub use network::NetworkArgs;
pub use options::Options;
pub use settings::Settings;
pub use value::{Header, OnLocked, PageRange, hide_user_info};
