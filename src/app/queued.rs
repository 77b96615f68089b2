//! Starts the halves of a run that a broker joins: the one that finds images and the one that fetches them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::collection::{Collection, open_for_worker, queue_id};
use super::environment::Environment;
use super::run::{WantedImages, discover_options, new_run, started};
use super::targets::{Definitions, SiteSession, select_source};
use crate::config::Settings;
use crate::engine::{
    self, DownloadOptions, EngineError, PageCopies, Quota, RemoteRecorder, ReportMode, Run, Scan,
    Shutdown,
};
use crate::event::{Events, Warning};
use crate::exit::Exit;
use crate::fetch::Retry;
use crate::job::{Job, SiteId};
use crate::queue::{
    self, Ack, Broker, Coordination, CoordinatorOptions, JobReceiver, Lease, WorkerOptions,
};
use crate::sink::OpenSink;
use crate::site;

/// Jobs of one host that all workers together have at a time.
const HOST_JOBS: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");

/// How long a job is left to other workers at first that this one cannot do.
const LEAVE_FOR: Duration = Duration::from_secs(30);

/// What a run does with a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueUse {
    /// It queues jobs.
    Scan,
    /// It queues jobs, and waits for their results.
    ScanAndFollow,
    /// It queues jobs, works on what is in the queue, and waits for the results of its own.
    ScanAndWork,
}

/// How the broker is reached.
///
/// # Errors
///
/// When none is named, or the options contradict each other.
pub(super) fn broker(settings: &Settings) -> anyhow::Result<Broker> {
    settings
        .queue
        .broker()?
        .context("name the queue: `--queue nats://HOST`, or the variable WALLHAUL_QUEUE")
}

/// How the queue is used by the run of this collection.
pub(super) fn queue_options(settings: &Settings, collection: String) -> CoordinatorOptions {
    // Of a host that is asked once in a while, all workers together have one job, and hold it until it is time.
    let host_cap = if settings.fetch.wait.is_zero() {
        settings.queue.host_jobs.unwrap_or(HOST_JOBS)
    } else {
        NonZeroUsize::MIN
    };
    let max_jobs = settings.queue.max_queued;
    CoordinatorOptions {
        collection,
        host_cap,
        max_jobs: max_jobs.map_or(CoordinatorOptions::MAX_JOBS, u64::from),
        max_bytes: CoordinatorOptions::MAX_BYTES,
        ack_wait: settings.queue.lease(),
    }
}

/// Queues the wanted images that are new to the collection.
pub(super) async fn queue_new(
    session: &SiteSession,
    run: Run,
    collection: Collection,
    quota: &Quota,
    images: WantedImages,
    queue_use: QueueUse,
    workers: Workers<'_>,
) -> anyhow::Result<()> {
    let settings = workers.settings;
    let Collection {
        sink,
        staging,
        ledger,
        hooks,
    } = collection;
    let broker = broker(settings)?;
    let id = queue_id(staging.state_dir()).context("naming the collection for the queue")?;
    let options = queue_options(settings, id);
    let Coordination { sender, results } =
        queue::coordinate(&broker, &options, &run.events).await?;
    run.events.emit(started(session, settings)).await;
    let (source, jobs) = images.source(session, sender);
    let copies = PageCopies {
        folder: staging.state_dir().join("pages"),
    };
    let (shutdown, events) = (run.shutdown.clone(), run.events.clone());
    let works = queue_use == QueueUse::ScanAndWork;
    // Where this process works as well, what it has in flight may finish first.
    let ended = if works {
        CancellationToken::new()
    } else {
        shutdown.stop_token().child_token()
    };
    let scan = Scan {
        source,
        jobs,
        results,
        sink,
        ledger,
        hooks,
        discover: engine::DiscoverOptions {
            page_copies: Some(copies),
            ..discover_options(settings, staging.longest_name())
        },
        quota: quota.clone(),
        waits: queue_use != QueueUse::Scan,
        ended: ended.clone(),
    };
    let scanning = engine::scan(run, scan);
    if !works {
        return Ok(scanning.await?);
    }
    let mine = shutdown.child();
    let receiver = workers.receiver(&broker, None, &events).await?;
    let scanning = async {
        let result = scanning.await;
        mine.stop();
        result
    };
    let working = async {
        let result = workers.run(receiver, &events, &mine).await;
        if result.is_err() {
            // Nobody here would take what is queued from now on.
            shutdown.stop();
        }
        ended.cancel();
        result
    };
    let (scanned, worked) = tokio::join!(scanning, working);
    worked?;
    Ok(scanned?)
}

/// The workers of this process.
pub(super) struct Workers<'a> {
    pub(super) settings: &'a Settings,
    pub(super) environment: &'a Environment,
    pub(super) definitions: &'a Definitions,
    /// What is reported of images.
    pub(super) reports: ReportMode,
}

impl Workers<'_> {
    /// Where jobs come from, until none is left for this long.
    pub(super) async fn receiver(
        &self,
        broker: &Broker,
        until_idle: Option<Duration>,
        events: &Events,
    ) -> anyhow::Result<Arc<dyn JobReceiver>> {
        let options = WorkerOptions {
            slots: self.settings.jobs,
            until_idle,
        };
        Ok(queue::work(broker, &options, events).await?)
    }

    /// Works on what is in the queue until no more comes, or the shutdown says so. Each site has its own half of a run,
    /// opened with its first job.
    ///
    /// # Errors
    ///
    /// When the queue, or a place for images, does not work.
    pub(super) async fn run(
        &self,
        receiver: Arc<dyn JobReceiver>,
        events: &Events,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let mut halves = Halves {
            workers: self,
            receiver: Arc::clone(&receiver),
            events,
            shutdown,
            sites: HashMap::new(),
            running: JoinSet::new(),
        };
        let result = halves.sort_jobs().await;
        let Halves { sites, running, .. } = halves;
        // The halves end when their jobs do.
        drop(sites);
        if result.is_err() {
            shutdown.abort();
        }
        let mut result = result;
        let mut running = running;
        while let Some(ended) = running.join_next().await {
            let ended = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            result = result.and(ended.map_err(anyhow::Error::from));
        }
        receiver.close().await;
        result
    }
}

/// The download halves of a process, one for each site.
struct Halves<'a> {
    workers: &'a Workers<'a>,
    receiver: Arc<dyn JobReceiver>,
    events: &'a Events,
    shutdown: &'a Shutdown,
    /// Where the jobs of a site go; `None` for one that this process cannot work for.
    sites: HashMap<SiteId, Option<Site>>,
    running: JoinSet<Result<(), EngineError>>,
}

/// A site whose half runs.
struct Site {
    jobs: mpsc::Sender<Lease>,
    /// A mirror that this process serves itself lives in it.
    _session: SiteSession,
}

impl Halves<'_> {
    async fn sort_jobs(&mut self) -> anyhow::Result<()> {
        loop {
            // Every branch is cancel-safe.
            tokio::select! {
                biased;
                () = self.shutdown.stopping() => return Ok(()),
                Some(ended) = self.running.join_next() => {
                    // Before its jobs have ended only by an error, or when it was asked to.
                    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
                    if !self.shutdown.is_stopping() {
                        bail!("the workers of a site have ended");
                    }
                }
                lease = self.receiver.next() => match lease? {
                    Some(lease) => self.sort(lease).await?,
                    None => return Ok(()),
                }
            }
        }
    }

    async fn sort(&mut self, mut lease: Lease) -> anyhow::Result<()> {
        // It came from another machine: nothing in it is relied on, and its name must be safe here.
        lease.job.stem = site::safe_stem(&lease.job.stem);
        let id = lease.job.site.clone();
        if !self.sites.contains_key(&id) {
            let site = match self.open(&lease.job).await {
                Ok(site) => Some(site),
                // A definition that is missing here, or a secret: another worker may have it.
                Err(error) if Exit::from_error(&error) == Exit::Usage => {
                    let cause = format!("{error:#}");
                    let site = id.clone();
                    self.events
                        .warn(Warning::SiteUnavailable { site, cause })
                        .await;
                    None
                }
                Err(error) => return Err(error),
            };
            self.sites.insert(id.clone(), site);
        }
        if let Some(site) = &self.sites[&id] {
            // A half that has ended says why; the job goes back.
            drop(site.jobs.send(lease).await);
        } else {
            // Longer each time: after 20 deliveries a job is dead, and the worker that can do it may come tomorrow.
            let after = LEAVE_FOR.saturating_mul(2_u32.saturating_pow(lease.attempt.min(10)));
            lease.ack(Ack::Retry { after }).await?;
        }
        Ok(())
    }

    /// Starts the half for the site of this job.
    async fn open(&mut self, job: &Job) -> anyhow::Result<Site> {
        let Workers {
            settings,
            environment,
            definitions,
            reports,
        } = self.workers;
        let id = &job.site;
        let is_mirrored = settings.base_url.is_some() && self.sites.values().any(Option::is_some);
        if is_mirrored {
            bail!("--base-url is the mirror of one site, and this worker has had jobs of another");
        }
        let mut settings = Settings::clone(settings);
        // Whoever queued the jobs may want the host to be asked less often than we would.
        settings.fetch.wait = settings.fetch.wait.max(job.wait);
        let source = select_source(Some(id.to_string()), &settings, definitions)?;
        let session = SiteSession::open_for_jobs(source, &settings).await?;
        let opened = open_for_worker(&session.location, &settings, environment).await?;
        let OpenSink { sink, staging } = opened;
        staging.check_free_space()?;
        let run = new_run(&session, environment, self.events.clone(), self.shutdown).await;
        let (jobs, receiver) = queue::forwarded(settings.jobs.get(), Arc::clone(&self.receiver));
        let options = DownloadOptions {
            jobs: settings.jobs,
            retry: Retry::new(settings.fetch.retries, settings.fetch.retry_wait),
            limits: settings.limits,
            names_from_header: settings.names_from_header,
            // Whoever queued the jobs has counted them.
            quota: Quota::new(None, None),
            reports: *reports,
            shares_hosts: true,
        };
        let recorder = Arc::new(RemoteRecorder::default());
        let receiver = Arc::new(receiver);
        self.running.spawn(engine::download(
            run, receiver, sink, staging, recorder, options,
        ));
        Ok(Site {
            jobs,
            _session: session,
        })
    }
}
