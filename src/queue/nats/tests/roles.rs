//! The rights in the server's configuration that we ship: they suffice, and each is needed.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::server::{NEW, OLD, Server};
use super::super::subject::NEW_HOSTS;
use super::{acked, broker, depth_becomes, events, next, options, results, slots, soon};
use crate::outcome::{Failure, JobEnd, Stage};
use crate::queue::contract::job;
use crate::queue::{Ack, Broker, Login, Purge, QueueError, administer, coordinate, work};

const SHIPPED: &str = include_str!("../../../../docs/nats-server.conf");

/// Starts a server with the shipped configuration, without TLS and without this line.
fn shipped(version: &str, without: Option<&str>) -> Server {
    let (before, tls) = SHIPPED.split_once("tls {").unwrap();
    let (_, after) = tls.split_once('}').unwrap();
    let mut config = [before, after].concat();
    for (shipped, ours) in [
        ("0.0.0.0:4222", "LISTEN"),
        ("/var/lib/nats", "FOLDER/store"),
    ] {
        assert!(config.contains(shipped));
        config = config.replace(shipped, ours);
    }
    if let Some(line) = without {
        let line = format!("          \"{line}\"\n");
        assert!(config.contains(&line), "{line}");
        config = config.replace(&line, "");
    }
    Server::with_whole_config(version, &config, &[])
}

fn role(server: &Server, user: &str) -> Broker {
    let password = match user {
        "worker" => "not-even-you",
        _ => "tell-nobody",
    };
    let mut broker = broker(&server.url());
    broker.login = Login::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    broker
}

/// All that the two do.
async fn whole_flow(server: &Server) -> Result<(), QueueError> {
    let (events, _seen) = events();
    let coordinator = role(server, "coordinator");
    let coordination = coordinate(&coordinator, &options(4), &events).await?;
    coordination.sender.send(job(0)).await?;
    let again = coordinate(&coordinator, &options(4), &events).await?;
    assert_eq!(
        again.sender.send(job(0)).await?,
        crate::queue::Sent::Waiting
    );
    let mut idle = slots(2);
    idle.until_idle = Some(Duration::from_millis(200));
    let worker = work(&role(server, "worker"), &idle, &events).await?;
    let lease = soon("a job", worker.next()).await?.unwrap();
    worker
        .pause_host("demo.invalid", Duration::from_millis(1))
        .await?;
    let failure = Failure {
        stage: Stage::Fetch,
        address: String::new(),
        cause: "404 Not Found".to_owned(),
        attempts: 1,
        gone: true,
    };
    lease
        .report(Timestamp::now(), JobEnd::Failed(failure))
        .await?;
    lease.ack(Ack::Done).await?;
    assert!(soon("the end", worker.next()).await?.is_none());
    let received = soon("a result", coordination.results.next()).await?;
    for result in received {
        acked(result).await?;
    }
    coordination.results.depth().await?;
    let admin = administer(&coordinator, &options(4), &events).await?;
    let dead = admin.dead(0).await?;
    admin.retry(dead[0].number).await?;
    admin
        .pause("demo.invalid", Duration::from_millis(1))
        .await?;
    admin.purge(Purge::Jobs).await?;
    admin.purge(Purge::Dead).await?;
    admin.status().await?;
    coordination.results.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_rights_suffice() {
    for version in [NEW, OLD] {
        whole_flow(&shipped(version, None)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_not_hear_of_new_hosts_finds_them_all_the_same() {
    let server = shipped(NEW, Some(NEW_HOSTS));
    whole_flow(&server).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_one_of_its_rights_ends_with_an_error_that_names_it() {
    let rights = SHIPPED
        .lines()
        .filter_map(|line| line.strip_prefix("          \"")?.strip_suffix('"'));
    // These are needed only when something was delivered too often, which takes longer; this one for nothing, as
    // long as nobody else makes consumers; and the last one only makes workers quicker.
    let rare = [
        "MSG.DELETE.JOBS",
        "$JS.ACK.ADVISORY",
        "CONSUMER.INFO.>",
        NEW_HOSTS,
    ];
    let rights = rights.filter(|right| !rare.iter().any(|rare| right.contains(rare)));
    let mut runs = tokio::task::JoinSet::new();
    for right in rights {
        runs.spawn(async move {
            let server = shipped(NEW, Some(right));
            let start = Instant::now();
            let error = whole_flow(&server).await.expect_err(right).to_string();
            let subject = right.trim_end_matches(['*', '>']);
            // Both roles have some; whichever meets it first names it.
            assert!(error.contains(subject), "{right}: {error}");
            assert!(error.contains("Permissions Violation"), "{right}: {error}");
            assert!(
                start.elapsed() < Duration::from_secs(15),
                "{right}: {:?}",
                start.elapsed()
            );
        });
        if runs.len() == 4 {
            runs.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_cannot_queue_jobs_or_read_results_or_empty_the_queue() {
    let server = shipped(NEW, None);
    let (events, _seen) = events();
    let coordinator = role(&server, "coordinator");
    let coordination = coordinate(&coordinator, &options(4), &events)
        .await
        .unwrap();
    coordination.sender.send(job(0)).await.unwrap();
    let worker = work(&role(&server, "worker"), &slots(1), &events)
        .await
        .unwrap();
    let lease = next(&worker).await;
    let end = JobEnd::Elsewhere(Vec::new());
    lease.report(Timestamp::now(), end).await.unwrap();
    drop(lease);
    for subject in [
        "wallhaul.job.demo=2Einvalid",
        "wallhaul.dead.-",
        "$JS.API.STREAM.PURGE.JOBS",
        "$JS.API.STREAM.DELETE.JOBS",
        "$JS.API.STREAM.MSG.GET.RESULTS",
        "$JS.API.DIRECT.GET.JOBS",
        "$JS.API.CONSUMER.MSG.NEXT.RESULTS.demo1",
        "$JS.API.CONSUMER.CREATE.RESULTS.x",
        "$JS.API.CONSUMER.DELETE.JOBS.demo=2Einvalid",
    ] {
        let options = async_nats::ConnectOptions::new()
            .user_and_password("worker".to_owned(), "not-even-you".to_owned())
            .custom_inbox_prefix("_INBOX_w")
            .request_timeout(Some(Duration::from_millis(300)));
        let raw = options.connect(server.url()).await.unwrap();
        let answer = raw.request(subject, "{}".into()).await;
        assert!(answer.is_err(), "{subject}: {answer:?}");
    }
    depth_becomes(&coordination, 1, 1).await;
    assert_eq!(results(&coordination, 1).await.len(), 1);
}
