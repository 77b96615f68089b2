//! Jobs that no worker can do for now: they stay in the queue, and nothing is said of their images.

use super::*;
use crate::support::fault_server::{Answer, Asked};

/// How long such a job is left in the queue, in seconds.
const POSTPONED: u64 = 60;

#[test]
fn a_stop_answer_leaves_all_jobs_of_the_site_in_the_queue() {
    let stop = format!("{FULL}\n[[request.error]]\nstatus = 403\naction = \"stop\"\n");
    let own = OwnSite::with(3, &stop);
    own.server.everywhere(|asked| {
        if asked.path.starts_with("/full/") {
            Answer::status(403)
        } else {
            Answer::status(404)
        }
    });
    own.server.on("/list/1/", Asked::served);
    assert_eq!(count(&own.scan().sum(), "queued"), 3);
    let words = own.listen_to_workers();
    let worker = own.worker().start();
    assert_eq!(words.wait_for(3), vec![nak(POSTPONED); 3]);
    let ended = end(worker);
    assert_eq!(
        (ended.code, count(&ended.sum(), "interrupted")),
        (Some(143), 3),
        "{ended:?}"
    );
    assert_eq!(own.asked("/full/"), 1);
    assert_eq!((own.nats.messages("JOBS"), own.nats.results()), (3, 0));
}

#[test]
fn jobs_of_a_host_that_was_given_up_stay_in_the_queue() {
    let own = OwnSite::new(23);
    assert_eq!(count(&own.scan().sum(), "queued"), 23);
    for number in 1..=23 {
        let path = format!("/full/{number}.png");
        own.server.on(&path, |_| Answer::status(500));
    }
    let words = own.listen_to_workers();
    // The host is given up after 20 failures in a row.
    let worker = own.worker().args(["--retries", "0"]).start();
    let mut words = words.wait_for(23);
    // Failures are said after a pause, for several images together.
    words.sort_unstable();
    let postponed = words.split_off(20);
    assert_eq!(postponed, vec![nak(POSTPONED); 3]);
    assert!(
        words.iter().all(|word| word.starts_with("+TERM ")),
        "{words:?}"
    );
    let ended = end(worker);
    let sum = ended.sum();
    assert_eq!(
        (count(&sum, "failed"), count(&sum, "interrupted")),
        (20, 3),
        "{ended:?}"
    );
    assert_eq!(own.asked("/full/"), 20);
    assert_eq!((own.nats.messages("JOBS"), own.nats.results()), (3, 20));
}

#[test]
fn jobs_of_a_host_whose_robots_txt_cannot_be_read_stay_in_the_queue() {
    let own = OwnSite::new(3);
    assert_eq!(count(&own.scan().sum(), "queued"), 3);
    own.server.on("/robots.txt", |_| Answer::status(503));
    let words = own.listen_to_workers();
    let worker = own.worker().args(["--retries", "0"]).start();
    assert_eq!(words.wait_for(3), vec![nak(POSTPONED); 3]);
    let ended = end(worker);
    assert_eq!(count(&ended.sum(), "interrupted"), 3, "{ended:?}");
    assert_eq!(own.asked("/full/"), 0);
    assert_eq!((own.nats.messages("JOBS"), own.nats.results()), (3, 0));
}
