//! File systems that a test mounts; unmounted on drop, also after a panic. Needs root.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Something mounted.
pub(crate) struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Runs `mount` with these arguments and the mount point `at`.
    pub(crate) fn new(at: &Path, how: &[&str]) -> Self {
        Self::with_stdin(at, Stdio::null(), how)
    }

    /// The same with something that the mount is made of on standard input.
    pub(crate) fn with_stdin(at: &Path, stdin: Stdio, how: &[&str]) -> Self {
        let mut mount = Command::new("mount");
        mount.stdin(stdin).args(how).arg(at);
        finish(mount);
        Self { at: at.to_owned() }
    }

    /// A file system in memory, with options like `size=8m` or `nr_inodes=20`, on a folder made for it.
    pub(crate) fn memory(at: &Path, options: &str) -> Self {
        fs::create_dir_all(at).expect("a folder to mount on");
        Self::new(at, &["-t", "tmpfs", "-o", options, "memory"])
    }

    /// An ext4 of so many bytes in the file `image`, on a folder made for it; root has no more of it than others.
    pub(crate) fn ext4(at: &Path, image: &Path, size: u64) -> Self {
        File::create(image)
            .and_then(|file| file.set_len(size))
            .expect("a file for the image");
        run(
            "mkfs.ext4",
            &[
                "-q".as_ref(),
                "-F".as_ref(),
                "-m".as_ref(),
                "0".as_ref(),
                image.as_ref(),
            ],
        );
        Self::image(at, image)
    }

    /// What is in the file `image` already.
    pub(crate) fn image(at: &Path, image: &Path) -> Self {
        fs::create_dir_all(at).expect("a folder to mount on");
        Self::new(at, &["-o", "loop", image.to_str().expect("a plain path")])
    }

    /// Changes its options: `ro`, or another size.
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        run(
            "mount",
            &["-o".as_ref(), options.as_ref(), self.at.as_ref()],
        );
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let undo = |how: &[&str]| {
            let undone = command("umount")
                .args(how)
                .arg(&self.at)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .status();
            undone.is_ok_and(|status| status.success())
        };
        // Something may still be open in it: it goes away with that then.
        let _ = undo(&[]) || undo(&["--lazy"]);
    }
}

/// Runs a program of the system's to its end.
///
/// # Panics
///
/// When it is missing or fails.
pub(crate) fn run(program: &str, args: &[&OsStr]) {
    let mut command = command(program);
    command.args(args).stdin(Stdio::null());
    finish(command);
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env(
        "PATH",
        format!(
            "{}:/usr/sbin:/sbin",
            std::env::var("PATH").unwrap_or_default()
        ),
    );
    command
}

fn finish(mut command: Command) {
    let ended = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it"));
    let message = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success(),
        "{command:?} (file systems are made and mounted by root alone): {message}"
    );
}
