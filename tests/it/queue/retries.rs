//! Deliveries are no tries: a broker counts those, and `--retries` counts these.

use super::*;
use crate::support::fault_server::Answer;

#[test]
fn deliveries_that_came_to_nothing_use_up_no_retries() {
    let own = OwnSite::new(1);
    assert_eq!(count(&own.scan().sum(), "queued"), 1);
    let [host] = &own.nats.hosts()[..] else {
        panic!("one host")
    };
    for _ in 0..5 {
        own.nats.deliver_in_vain(host);
    }
    own.server.on("/full/1.png", |asked| match asked.nth {
        1 | 2 => Answer::status(500),
        _ => asked.served(),
    });
    let worker = own.worker().args(["--retries", "2"]).start();
    until("a result", || (own.nats.results() == 1).then_some(()));
    let ended = end(worker);
    assert_eq!(count(&ended.sum(), "saved"), 1, "{ended:?}");
    assert_eq!(own.asked("/full/"), 3);
}

#[test]
fn a_worker_that_gets_bad_bytes_tries_once_more_itself() {
    let own = OwnSite::new(1);
    assert_eq!(count(&own.scan().sum(), "queued"), 1);
    let mut bad = own.server.shown("/full/1.png").to_vec();
    // A byte of the pixels, so that their checksum is wrong.
    let end_of_pixels = bad.len() - 20;
    bad[end_of_pixels] ^= 1;
    own.server.on("/full/1.png", move |asked| match asked.nth {
        1 => asked.if_it_were(&bad).served(),
        _ => asked.served(),
    });
    let words = own.listen_to_workers();
    let worker = own.worker().start();
    // It would not be the second time for another worker.
    assert_eq!(words.wait_for(1), ["+ACK"]);
    assert_eq!(count(&end(worker).sum(), "saved"), 1);
    assert_eq!(own.asked("/full/"), 2);
}

#[test]
fn a_job_of_an_unknown_site_is_left_to_others_for_longer_each_time() {
    let own = OwnSite::new(1);
    assert_eq!(count(&own.scan().sum(), "queued"), 1);
    let [host] = &own.nats.hosts()[..] else {
        panic!("one host")
    };
    for _ in 0..4 {
        own.nats.deliver_in_vain(host);
    }
    let words = own.listen_to_workers();
    let run = own.world.wallhaul().args(["work", "-d", "one", "--queue"]);
    let stranger = run.args([&own.nats.url(), "--json", "--no-config"]).start();
    // 30 s, doubled with each delivery: else 20 of them would be used up in ten minutes.
    assert_eq!(words.wait_for(1), [nak(30 << 5)]);
    let ended = end(stranger);
    assert!(ended.stdout.contains("site_unavailable"), "{ended:?}");
    assert_eq!(own.nats.messages("JOBS"), 1);
}
