//! Workers and brokers whose disks are full.

use std::fs;

use super::*;
use crate::support::mount::Mount;
use crate::support::nats::NEWEST;

#[test]
fn a_worker_with_a_full_disk_ends_and_its_images_are_fetched_by_another() {
    let cluster = Cluster::new(Site::open(40));
    let disk = Mount::memory(&cluster.world.work().join("small"), "size=1m");
    fs::write(cluster.world.work().join("small/lead"), vec![1; 900_000]).unwrap();
    let full = cluster
        .lasting_worker("small")
        .args(["--min-free-space", "0"])
        .start();
    let following = cluster.follow().start();
    let ended = full.wait();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let other = cluster.worker("two").start();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    assert_eq!(other.wait().code, Some(0));
    cluster.assert_complete(&["small", "two"]);
    drop(disk);
}

#[test]
fn a_broker_with_a_full_disk_is_exit_6_and_goes_on_once_it_has_room_and_is_restarted() {
    let world = Sandbox::new();
    let folder = world.work().join("disk");
    let disk = Mount::memory(&folder, "size=4m");
    let lead = folder.join("lead");
    let store = folder.join("store");
    let settings = format!(
        "jetstream {{ store_dir: \"{}\", max_file_store: 4GB }}",
        store.display()
    );
    let site = Site::open(40);
    let nats = Nats::with(NEWEST, &settings);
    let mut cluster = Cluster { world, site, nats };
    // The streams are made while there is room.
    let nothing = cluster
        .coordinator("scan")
        .args(["-d", "walls", "-p", "99"])
        .run();
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    fs::write(&lead, vec![1; 4 << 20]).unwrap_err();
    let refused = cluster.coordinator("scan").args(["-d", "walls"]).run();
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(refused.stderr.contains("disk"), "{refused:?}");
    fs::remove_file(&lead).unwrap();
    cluster.nats.kill();
    cluster.nats.up();
    let worker = cluster.lasting_worker("one").start();
    let followed = cluster.follow().run();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    assert_eq!(end(worker).code, Some(143));
    cluster.assert_complete(&["one"]);
    drop(cluster);
    drop(disk);
}
