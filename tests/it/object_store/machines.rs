//! Workers on several machines that store images in one bucket.

use rustix::process::Signal;

use super::*;
use crate::support::nats::Nats;
use crate::support::until;

#[test]
fn three_workers_fill_one_bucket_and_the_ledger_agrees_with_it() {
    let (world, nats, place) = (Sandbox::new(), Nats::start(), Place::new());
    let site = Site::closed(60, Site::IMAGES);
    let run = |command: &str| {
        let run = site
            .visit(&world, command)
            .args(["--queue", &nats.url(), "--no-config"]);
        place.hold(run.args(["--json"]))
    };
    // All of one machine: each has a state folder of its own.
    let workers = [(); 3].map(|()| run("work").args(["-j", "4"]).start());
    let following = run("scan").args(["--follow", "--lease", "2s"]).start();
    until("images in flight", || {
        (site.gate.waiting() >= 8).then_some(())
    });
    let [killed, others @ ..] = workers;
    killed.signal(Signal::KILL);
    site.gate.open();
    let followed = following.wait();
    assert_eq!(followed.code, Some(0), "{followed:?}");
    assert_eq!(followed.sum()["saved"], 60, "{followed:?}");
    for worker in others {
        worker.signal(Signal::TERM);
        assert_eq!(worker.wait().code, Some(143));
    }
    let objects = place.objects();
    assert_eq!(objects.len(), 60);
    let hashes: BTreeSet<_> = objects
        .values()
        .map(|bytes| blake3::hash(bytes).to_string())
        .collect();
    let originals = site.gallery.originals.iter();
    assert_eq!(
        hashes,
        originals
            .map(|original| original.hash.to_string())
            .collect()
    );
    // At most what the killed one had in flight.
    assert!(site.sent().len() <= 64, "{}", site.sent().len());
    let verify = site
        .visit(&world, "verify")
        .args(["--decode", "--no-config"]);
    let verify = with(
        verify.args(["-d", &format!("{}/simpledesktops", place.url())]),
        &place.variables,
    );
    let state = world.home().join(".local/state/wallhaul/s3");
    assert!(state.is_dir(), "{}", state.display());
    let verified = verify.run();
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
