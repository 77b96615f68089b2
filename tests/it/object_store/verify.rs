//! `verify` of a collection in an object store.

use object_store::{GetOptions, ObjectStoreExt as _, PutOptions};

use super::{Place, assert_code, assert_whole};
use crate::support::program::{ProgramOutput, Sandbox};
use crate::support::site::Site;
use crate::support::store_proxy::{Fault, StoreProxy};
use crate::support::stores::{Role, s3_variables, seaweedfs};

fn verify(world: &Sandbox, site: &Site, place: &Place, arguments: &[&str]) -> ProgramOutput {
    let verify = site.visit(world, "verify").args(arguments);
    place.hold(verify).run()
}

/// Changes the last byte of an object, which keeps its attributes.
fn flip(place: &Place, name: &str) -> Vec<u8> {
    place.change(name, async |client, key| {
        let found = client.get_opts(&key, GetOptions::default()).await.unwrap();
        let attributes = found.attributes.clone();
        let mut bytes = found.bytes().await.unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        let options = PutOptions {
            attributes,
            ..PutOptions::default()
        };
        let put = client.put_opts(&key, bytes.clone().into(), options);
        put.await.unwrap();
        bytes
    })
}

#[test]
fn verify_lists_an_object_store_and_decode_reads_it_and_repair_replaces() {
    let (world, site, place) = (Sandbox::new(), Site::open(6), Place::new());
    assert_code(&place.hold(site.fetch(&world)).run(), 0);
    let objects = place.objects();
    let names: Vec<_> = objects.keys().cloned().collect();
    let [gone, cut, flipped, ..] = &names[..] else {
        panic!("{names:?}")
    };
    place.change(gone, async |client, key| client.delete(&key).await.unwrap());
    place.change(cut, async |client, key| {
        client.put(&key, "cut".into()).await.unwrap()
    });
    let wrong = flip(&place, flipped);
    place.change("foreign.txt", async |client, key| {
        client.put(&key, "not ours".into()).await.unwrap()
    });
    let by_listing = verify(&world, &site, &place, &[]);
    assert_code(&by_listing, 1);
    let found = |ended: &ProgramOutput, kind: &str, name: &str| {
        let mut lines = ended.stdout.lines();
        lines.any(|line| line.starts_with(kind) && line.contains(name))
    };
    for (kind, name) in [("missing", gone), ("damaged", cut)] {
        assert!(found(&by_listing, kind, name), "{}", by_listing.stdout);
    }
    assert!(found(&by_listing, "foreign", "foreign.txt"));
    assert!(!found(&by_listing, "damaged", flipped), "it reads none");
    assert!(
        by_listing.stderr.contains("`--decode` reads"),
        "{}",
        by_listing.stderr
    );
    let decoded = verify(&world, &site, &place, &["--decode"]);
    assert_code(&decoded, 1);
    assert!(found(&decoded, "damaged", flipped), "{}", decoded.stdout);
    assert!(!decoded.stderr.contains("`--decode` reads"));

    let repaired = verify(&world, &site, &place, &["--decode", "--repair"]);
    assert_code(&repaired, 0);
    for name in [gone, cut, flipped] {
        assert!(found(&repaired, "repaired", name), "{}", repaired.stdout);
    }
    let state = world.home().join(".local/state/wallhaul/s3/pictures");
    let rejected = state.join(&place.prefix).join("rejected");
    assert_eq!(std::fs::read(rejected.join(flipped)).unwrap(), wrong);
    assert_eq!(std::fs::read(rejected.join(cut)).unwrap(), b"cut");
    assert!(rejected.join(format!("{cut}.why")).is_file());
    place.change("foreign.txt", async |client, key| {
        client.delete(&key).await.unwrap();
    });
    assert_eq!(place.objects(), objects);
    assert_whole(&site, &objects);
    assert_code(&verify(&world, &site, &place, &["--decode"]), 0);
}

#[test]
fn verify_does_not_call_images_damaged_when_the_object_store_is_out_of_reach() {
    let (world, site) = (Sandbox::new(), Site::open(4));
    let proxy = StoreProxy::before(seaweedfs().port());
    let place = Place::asked_by(s3_variables(proxy.port(), Role::Worker));
    assert_code(&place.hold(site.fetch(&world)).run(), 0);
    // A listing and an image are asked for again.
    proxy.spoil("GET", 2, Fault::Answer(503));
    assert_code(&verify(&world, &site, &place, &["--decode"]), 0);
    assert_eq!(proxy.faults(), 2);
    proxy.spoil("HEAD", usize::MAX, Fault::Close);
    let decode = ["--decode", "--store-timeout", "2s"];
    let ended = verify(&world, &site, &place, &decode);
    assert_code(&ended, 6);
    assert_eq!(ended.stdout, "", "nothing is damaged");
}
