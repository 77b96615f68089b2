//! From facts to sentences: what people read of a warning, or of what a run waits for.

use super::figures::{of, time};
use crate::event::{LockHolder, LockProcess, WaitReason, Warning};

/// What a run waits for, and how to end the wait.
pub fn waiting(reason: &WaitReason) -> String {
    match reason {
        WaitReason::ImagesInFlight { images } => format!(
            "finishing {} in flight; press Ctrl-C again to drop {}",
            of(*images, "image", "images"),
            them(*images)
        ),
        WaitReason::HooksInFlight { hooks } => format!(
            "finishing {}; press Ctrl-C again to kill {}",
            of(*hooks, "running hook", "running hooks"),
            them(*hooks)
        ),
        WaitReason::HooksLeft { hooks, limit } => {
            let limit = limit.map_or_else(String::new, |limit| {
                format!(", at most {} each", time(limit))
            });
            format!(
                "waiting for {}{limit}; press Ctrl-C to end {}",
                of(*hooks, "hook", "hooks"),
                them(*hooks)
            )
        }
        WaitReason::LockHeld(LockHolder { lock, process }) => format!(
            "waiting for `{lock}`, which is held by another run{}",
            holder(*process)
        ),
        WaitReason::LockSkipped(LockHolder { lock, process }) => format!(
            "nothing to do: `{lock}` is held by another run{}",
            holder(*process)
        ),
    }
}

/// What is wrong, and what to do about it.
pub fn warning(warning: &Warning) -> String {
    match warning {
        Warning::InsecureTls => {
            "certificates are not checked (--insecure): anyone on the network path can change \
                                 what is downloaded"
                .to_owned()
        }
        Warning::ReadableConfig { path } => format!(
            "`{path}` contains headers and is readable by other users: run `chmod go-r` on it"
        ),
        Warning::LedgerRebuilt { images } => format!(
            "the ledger was missing: made a new one from {} in the folder",
            of(*images, "image", "images")
        ),
        Warning::ItemsWithoutAddress { page, items } => format!(
            "{page}: {} without a usable address",
            of(*items, "item", "items")
        ),
        Warning::HooksGivenUp { failures } => {
            format!("{failures} hooks failed in a row: this run starts no more hooks")
        }
        Warning::ReporterFailed {
            reporter,
            cause,
            reader_gone,
        } => reporter_failed(reporter, cause, *reader_gone),
    }
}

/// That the run goes on without a reporter, and why.
pub(super) fn reporter_failed(reporter: &str, cause: &str, reader_gone: bool) -> String {
    if reader_gone {
        format!("nobody reads {reporter} any more; the run goes on")
    } else {
        format!("{reporter}: {cause}; the run goes on without")
    }
}

fn them(number: usize) -> &'static str {
    if number == 1 { "it" } else { "them" }
}

fn holder(process: Option<LockProcess>) -> String {
    process.map_or_else(String::new, |LockProcess { pid, since }| {
        format!(" (pid {pid}, since {since})")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_for_one_hook_or_image_reads_in_the_singular() {
        let images = |images| waiting(&WaitReason::ImagesInFlight { images });
        assert_eq!(
            images(1),
            "finishing 1 image in flight; press Ctrl-C again to drop it"
        );
        assert_eq!(
            images(2),
            "finishing 2 images in flight; press Ctrl-C again to drop them"
        );
        let hooks = |hooks, limit| waiting(&WaitReason::HooksLeft { hooks, limit });
        assert_eq!(hooks(1, None), "waiting for 1 hook; press Ctrl-C to end it");
        assert_eq!(
            hooks(3, Some(Duration::from_secs(60))),
            "waiting for 3 hooks, at most 1 min 0 s each; press Ctrl-C to end them"
        );
    }

    #[test]
    fn a_lock_names_its_holder_where_that_is_known() {
        let held = |process| {
            let lock = "walls/.wallhaul/lock".to_owned();
            waiting(&WaitReason::LockHeld(LockHolder { lock, process }))
        };
        assert_eq!(
            held(None),
            "waiting for `walls/.wallhaul/lock`, which is held by another run"
        );
        let process = LockProcess {
            pid: 42,
            since: "2026-11-23T12:00:00Z".parse().unwrap(),
        };
        assert!(held(Some(process)).ends_with(" (pid 42, since 2026-11-23T12:00:00Z)"));
    }
}
