//! A memory limit for a program and all that the kernel keeps for it: a control group. Needs root,
//! and a system whose groups can limit memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::program::Program;

/// A group that may have so much; gone when dropped.
pub(crate) struct MemoryCgroup {
    group: PathBuf,
}

impl MemoryCgroup {
    /// So many bytes, none of them on a disk for swapping.
    pub(crate) fn of(bytes: u64) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "wallhaul-test-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        );
        let (parent, limits) =
            place().expect("control groups with a limit on memory, of either version");
        let made = Self {
            group: parent.join(name),
        };
        fs::create_dir(&made.group).unwrap_or_else(|error| {
            panic!(
                "{}: {error} (a group with a limit on memory is made by root alone)",
                made.group.display()
            )
        });
        for (file, value) in limits {
            let value = value.unwrap_or(bytes).to_string();
            let written = fs::write(made.group.join(file), value);
            // A system without swap has no limit on it.
            assert!(
                written.is_ok() || file.contains("sw"),
                "{file}: {written:?}"
            );
        }
        made
    }

    /// Has a program run on it.
    pub(crate) fn for_program(&self, program: Program) -> Program {
        let procs = self.group.join("cgroup.procs");
        let script = "echo $$ > \"$0\" && exec \"$@\"";
        program.under([
            "/bin/sh",
            "-c",
            script,
            procs.to_str().expect("a plain path"),
        ])
    }

    /// The most that was in use at a time, in bytes; nothing where the system does not say.
    pub(crate) fn most_used(&self) -> String {
        let files = ["memory.max_usage_in_bytes", "memory.peak"].map(|name| self.group.join(name));
        let value = files.iter().find_map(|file| fs::read_to_string(file).ok());
        value.unwrap_or_default().trim().to_owned()
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // A process that was in it may take a moment to be gone.
        for _ in 0..500 {
            match fs::remove_dir(&self.group) {
                Err(_) if self.group.exists() => thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
    }
}

/// The files of a group's limits, and the value of those that get another than the budget.
type Limits = &'static [(&'static str, Option<u64>)];

/// Where a group can be made: below our own in the first version; beside it in the second, where one that holds programs
/// hands nothing down.
fn place() -> Option<(PathBuf, Limits)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut groups = groups.lines().filter_map(|line| {
        let (_number, rest) = line.split_once(':')?;
        rest.split_once(':')
    });
    if let Some((_, own)) = groups
        .clone()
        .find(|(controllers, _)| controllers.split(',').any(|one| one == "memory"))
    {
        return Some((
            mounted("cgroup", own)?,
            &[
                ("memory.limit_in_bytes", None),
                ("memory.memsw.limit_in_bytes", None),
            ],
        ));
    }
    let (_, own) = groups.find(|(controllers, _)| controllers.is_empty())?;
    let beside = Path::new(own).parent().unwrap_or(Path::new(own));
    Some((
        mounted("cgroup2", beside.to_str()?)?,
        &[("memory.max", None), ("memory.swap.max", Some(0))],
    ))
}

/// Where the group of this path lies among the files.
fn mounted(kind: &str, group: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|mount| {
        let (place, how) = mount.split_once(" - ")?;
        let (mut place, mut how) = (place.split(' ').skip(3), how.split(' '));
        let (root, at, found) = (place.next()?, place.next()?, how.next()?);
        let has_memory =
            kind == "cgroup2" || how.next_back()?.split(',').any(|option| option == "memory");
        let inner = Path::new(group).strip_prefix(root).ok()?;
        (found == kind && has_memory).then(|| Path::new(at).join(inner))
    })
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::super::program::Sandbox;
    use super::*;

    #[test]
    fn cgroup_kills_a_program_over_its_memory_limit() {
        let (world, budget) = (Sandbox::new(), MemoryCgroup::of(50_000_000));
        let take = |megabytes: u32| {
            let script = format!("print(len(b'x' * {megabytes}000000))");
            let ended = budget
                .for_program(world.program("python3").args(["-IS", "-c", &script]))
                .run();
            (ended.code, ended.signal)
        };
        assert_eq!(take(20), (Some(0), None));
        assert_eq!(take(200), (None, Some(Signal::KILL)));
    }
}
