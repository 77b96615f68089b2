//! The second half of a run: fetches the originals that jobs name, and saves them. It knows no site and no ledger.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::bad_images::{DoubtedImages, RetriedOnce};
use super::batch::commit_queue;
use super::committer::Committer;
use super::free_space::FreeSpaceGuard;
use super::in_progress::InProgress;
use super::shared_host::Tries;
use super::worker::Worker;
use super::{EngineError, Quota, Recorder, ReportMode, Reports, Run, joined, stage};
use crate::event::WaitReason;
use crate::fetch::Retry;
use crate::queue::JobReceiver;
use crate::sink::{Sink, Staging};
use crate::verify::Limits;

/// How images are fetched.
#[derive(Debug, Clone)]
pub struct DownloadOptions {
    /// Images fetched at a time.
    pub jobs: NonZeroUsize,
    /// When to request an image again.
    pub retry: Retry,
    /// What an image may declare on this machine; a job may set a lower limit.
    pub limits: Limits,
    /// Whether files are named as the server's Content-Disposition header says.
    pub names_from_header: bool,
    /// How much more may be saved.
    pub quota: Quota,
    /// What is reported of images.
    pub reports: ReportMode,
    /// Whether the queue is one of many machines, whose workers keep a host's limits together.
    pub shares_hosts: bool,
}

/// Fetches and saves the image of every job until the queue ends or the shutdown says so.
///
/// # Errors
///
/// The first stage that broke, or that the disk is nearly full; the other stages have ended by then.
pub async fn download(
    run: Run,
    receiver: Arc<dyn JobReceiver>,
    sink: Arc<dyn Sink>,
    staging: Arc<Staging>,
    recorder: Arc<dyn Recorder>,
    options: DownloadOptions,
) -> Result<(), EngineError> {
    let DownloadOptions {
        jobs,
        retry,
        limits,
        names_from_header,
        quota,
        reports,
        shares_hosts,
    } = options;
    let reports = Reports::new(run.events.clone(), reports);
    staging.parts().set_concurrency(jobs);
    let (shutdown, events) = (run.shutdown.clone(), run.events.clone());
    let free_space = FreeSpaceGuard::new(&staging, &shutdown);
    let (commits, batches) = commit_queue(&receiver);
    let mut stages = JoinSet::new();
    let committer = Committer {
        run: run.clone(),
        sink,
        recorder,
        quota: quota.clone(),
        free_space: free_space.clone(),
        reports: reports.clone(),
    };
    stages.spawn(stage(shutdown.clone(), committer.run(batches)));
    let active = commits.active();
    let worker = Worker {
        run,
        receiver,
        staging,
        commits,
        retry,
        limits,
        names_from_header,
        quota,
        retried: RetriedOnce::default(),
        doubted: DoubtedImages::default(),
        free_space: free_space.clone(),
        reports,
        shares_hosts,
        tries: Tries::default(),
        in_progress: InProgress::default(),
    };
    for _ in 0..jobs.get() {
        stages.spawn(stage(shutdown.clone(), worker.clone().run()));
    }
    // The stages hold the last senders of both queues: each stage ends when those before it have ended. One kept
    // here would keep the run alive for ever.
    drop(worker);
    let mut result = Ok(());
    let mut interrupted = false;
    loop {
        // Both are cancel-safe.
        let ended = tokio::select! {
            ended = stages.join_next() => ended,
            () = shutdown.interrupted(), if !interrupted => {
                interrupted = true;
                match active.count() {
                    0 => {}
                    images => events.waiting(WaitReason::ImagesInFlight { images }),
                }
                continue;
            }
        };
        let Some(ended) = ended.map(joined) else {
            break;
        };
        result = result.and(ended);
    }
    result.and(free_space.result().map_err(EngineError::from))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::time::Duration;

    use data_encoding::HEXLOWER;
    use jiff::Timestamp;
    use md5::{Digest as _, Md5};
    use url::Url;

    use super::*;
    use crate::engine::{LedgerRecorder, Shutdown};
    use crate::event::{Event, Events};
    use crate::fetch::FetchSettings;
    use crate::fetch::scripted::{Reply, Server, header, path_of, settings};
    use crate::job::{
        Candidate, Declared, ImageKey, Job, JobLimits, JobVersion, RulesHash, SiteId, Tried,
    };
    use crate::ledger;
    use crate::mask::Masks;
    use crate::outcome::{Failure, Outcome, Saved, Stage};
    use crate::queue::{self, Queue};
    use crate::sink::{self, Durability, Location, MinFree, OpenSink, SinkOptions};

    /// An image of `length` bytes and 16 x 16 pixels. What stands behind its end mark differs from `seed` to `seed`, so
    /// that nothing but a hash tells two of them apart.
    fn picture(seed: u8, length: usize) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image::GrayImage::new(16, 16)
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        let mut bytes = bytes.into_inner();
        assert!(bytes.len() < length);
        bytes.resize(length, seed);
        bytes
    }

    fn md5(bytes: &[u8]) -> String {
        HEXLOWER.encode(&Md5::digest(bytes))
    }

    /// Downloads the image at these paths of a server, each a candidate; with the files that are in the collection then.
    async fn download_image(
        server: &Server,
        paths: &[&str],
        declared: Declared,
    ) -> (Outcome, Vec<String>) {
        let (mut outcomes, files) = download_jobs(server, paths, declared, NonZeroUsize::MIN).await;
        (outcomes.pop().unwrap(), files)
    }

    /// The same for a job that is in the queue more than once, and whose copies are worked on at the same time where they can be.
    async fn download_jobs(
        server: &Server,
        paths: &[&str],
        declared: Declared,
        copies: NonZeroUsize,
    ) -> (Vec<Outcome>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::from(folder.path());
        let options = SinkOptions {
            durability: Durability::Off,
            min_free: MinFree::Bytes(0),
            store: sink::StoreOptions::default(),
            worker: None,
            boot_id: "boot",
            now: Timestamp::UNIX_EPOCH,
        };
        let OpenSink { sink, staging } = sink::open(&location, &options).await.unwrap();
        let ledger = Arc::from(ledger::open(staging.state_dir(), false).unwrap());
        let fetch_settings = FetchSettings {
            max_image_bytes: 1 << 30,
            ..settings()
        };
        let (events, mut received) = Events::channel(false);
        let run = Run {
            fetcher: Arc::new(server.fetcher_with(&fetch_settings)),
            clock: Timestamp::now,
            events,
            shutdown: Shutdown::default(),
        };
        let site = SiteId::new("demo").unwrap();
        let job = Job {
            version: JobVersion,
            key: ImageKey::with_id(&site, "94x38z"),
            site,
            candidates: paths
                .iter()
                .map(|path| Candidate::Direct(server.url(path)))
                .collect(),
            stem: "image".to_owned(),
            page: server.url("/").into(),
            title: None,
            declared: Some(Box::new(declared)),
            limits: JobLimits {
                min_width: 0,
                min_height: 0,
                skips_small: false,
                max_pixels: u64::MAX,
            },
            rules: RulesHash::default(),
            wait: Duration::ZERO,
            tried: Tried::default(),
        };
        let memory = Url::parse("memory:").unwrap();
        let Queue { sender, receiver } = queue::open(&memory, copies).await.unwrap();
        for _ in 0..copies.get() {
            sender.send(job.clone()).await.unwrap();
        }
        drop(sender);
        let options = DownloadOptions {
            jobs: copies,
            retry: Retry::new(3, Duration::from_millis(1)),
            limits: Limits::default(),
            names_from_header: false,
            quota: Quota::new(None, None),
            reports: ReportMode::Outcomes,
            shares_hosts: copies > NonZeroUsize::MIN,
        };
        let recorder = Arc::new(LedgerRecorder::new(ledger, Masks::default(), None));
        download(run, Arc::from(receiver), sink, staging, recorder, options)
            .await
            .unwrap();
        let mut outcomes = Vec::new();
        while let Some(event) = received.recv().await {
            if let Event::ImageFinished {
                key: _,
                outcome: ended,
            } = event
            {
                outcomes.push(ended);
            }
        }
        let files = std::fs::read_dir(folder.path()).unwrap();
        let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let files = files.filter(|name| !name.starts_with('.')).collect();
        (outcomes, files)
    }

    fn failure(outcome: Outcome) -> Failure {
        match outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_job_that_comes_again_while_it_is_worked_on_waits_for_its_end() {
        let image = picture(1, 300);
        let script = move |_: &str| Reply::ok(&image).dripping(Duration::from_micros(20));
        let server = Server::start(script).await;
        let two = NonZeroUsize::new(2).unwrap();
        let declared = Declared::default();
        let (outcomes, files) = download_jobs(&server, &["/a.png"], declared, two).await;
        let is_there =
            |outcome: &Outcome| matches!(outcome, Outcome::Saved(_) | Outcome::Duplicate(_));
        assert_eq!(outcomes.len(), 2);
        assert!(outcomes.iter().all(is_there), "{outcomes:?}");
        assert_eq!(files, ["image.png"]);
    }

    #[tokio::test]
    async fn an_image_with_another_md5_than_declared_is_retried_once_and_never_saved() {
        let (right, wrong) = (picture(1, 5000), picture(2, 5000));
        let declared = Declared {
            md5: Some(md5(&right)),
            ..Declared::default()
        };
        let found = md5(&wrong);
        let server = Server::start(move |_| Reply::ok(&wrong)).await;
        let (outcome, files) = download_image(&server, &["/a.png"], declared.clone()).await;
        let failure = failure(outcome);
        let cause = format!(
            "its MD5 hash is {found}, not {} as the listing declares",
            declared.md5.unwrap()
        );
        assert_eq!((failure.cause, failure.stage), (cause, Stage::Verify));
        assert_eq!((failure.attempts, server.request_count("/a.png")), (2, 2));
        assert!(!failure.gone && files.is_empty(), "{files:?}");
    }

    #[tokio::test]
    async fn an_image_that_was_damaged_once_on_the_way_is_saved_by_the_second_attempt() {
        let (right, wrong) = (picture(1, 5000), picture(2, 5000));
        let declared = Declared {
            md5: Some(md5(&right)),
            width: Some(16),
            ..Declared::default()
        };
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let server = Server::start(move |_| {
            match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => Reply::ok(&wrong),
                _ => Reply::ok(&right),
            }
        })
        .await;
        let (outcome, files) = download_image(&server, &["/a.png"], declared).await;
        assert!(matches!(outcome, Outcome::Saved(_)), "{outcome:?}");
        assert_eq!(
            (server.heads().len(), files),
            (2, vec!["image.png".to_owned()])
        );
    }

    #[tokio::test]
    async fn another_content_length_than_declared_fails_before_a_byte_of_the_body() {
        let server = Server::start(|_| {
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n").and_hang()
        })
        .await;
        let declared = Declared {
            bytes: Some(5000),
            ..Declared::default()
        };
        let downloaded = download_image(&server, &["/a.png"], declared);
        let (outcome, _) = tokio::time::timeout(Duration::from_secs(20), downloaded)
            .await
            .expect("it waits for the body");
        assert_eq!(
            failure(outcome).cause,
            "its length in bytes is 900000000, not 5000 as the listing declares"
        );
    }

    #[tokio::test]
    async fn the_next_candidate_is_tried_where_the_first_is_not_the_declared_image() {
        let (right, sample) = (picture(1, 5000), picture(2, 4000));
        let declared = Declared {
            bytes: Some(5000),
            ..Declared::default()
        };
        let server = Server::start(move |head| match path_of(head) {
            "/sample.png" => Reply::ok(&sample),
            _ => Reply::ok(&right),
        })
        .await;
        let paths = ["/sample.png", "/original.png"];
        let (outcome, _) = download_image(&server, &paths, declared).await;
        let Outcome::Saved(Saved { address, .. }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(*address, server.url("/original.png"));
        assert_eq!(server.heads().len(), 2);
    }

    #[tokio::test]
    async fn a_resumed_part_is_compared_from_its_first_byte() {
        for (first, is_right) in [(1, true), (2, false)] {
            let right = picture(1, 2_000_000);
            let declared = Declared {
                md5: Some(md5(&right)),
                bytes: Some(2_000_000),
                ..Declared::default()
            };
            let begun = picture(first, 1_500_000);
            let server = Server::start(move |head| {
                let range = header(head, "range").and_then(|range| {
                    range
                        .strip_prefix("bytes=")?
                        .strip_suffix('-')?
                        .parse::<usize>()
                        .ok()
                });
                if let Some(from) = range {
                    Reply::new(
                        206,
                        &[
                            "ETag: \"1\"",
                            &format!("Content-Range: bytes {from}-1999999/2000000"),
                        ],
                        &right[from..],
                    )
                } else {
                    let head = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 2000000\r\n\r\n";
                    Reply::raw([head.as_bytes(), &begun[..]].concat()).and_close()
                }
            })
            .await;
            let (outcome, files) = download_image(&server, &["/a.png"], declared).await;
            let heads = server.heads();
            assert!(header(&heads[1], "range").is_some(), "{heads:?}");
            if is_right {
                assert!(matches!(outcome, Outcome::Saved(_)), "{outcome:?}");
                assert_eq!(heads.len(), 2);
            } else {
                assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
                assert_eq!(files, [""; 0]);
            }
        }
    }
}
