//! Collections in an object store: the program against a real `SeaweedFS`, and Azurite.

mod faults;
mod hooks;
#[cfg(feature = "nats")]
mod machines;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, ObjectStore, ObjectStoreExt as _};

use crate::support::program::{Program, ProgramOutput, Running, Sandbox};
use crate::support::site::Site;
use crate::support::store_proxy::StoreProxy;
use crate::support::stores::{
    BUCKET, Role, Variables, azurite, free_ports, moto, s3_client, s3_variables, seaweedfs,
};

/// A prefix that nobody has used, in the `SeaweedFS` that the tests share.
struct Place {
    prefix: String,
    variables: Variables,
    /// By which the tests ask the same store.
    admin: Variables,
}

impl Place {
    fn new() -> Self {
        Self::asked_by(seaweedfs().s3(Role::Worker))
    }

    fn asked_by(variables: Variables) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("out side/{number}");
        let admin = seaweedfs().s3(Role::Admin);
        Self {
            prefix,
            variables,
            admin,
        }
    }

    /// In another store.
    fn on(self, admin: Variables) -> Self {
        Self { admin, ..self }
    }

    fn url(&self) -> String {
        format!("s3://{BUCKET}/{}", self.prefix)
    }

    /// Has the program work here.
    fn hold(&self, program: Program) -> Program {
        let program = program.args(["-d", &self.url()]);
        with(program, &self.variables)
    }

    /// All objects, by their names, as somebody else sees them.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let prefix = Path::parse(&self.prefix).unwrap();
        block_on(&self.admin, async |client| {
            let listed = client.list(Some(&prefix));
            let listed: Vec<_> = listed.try_collect().await.unwrap();
            let mut objects = BTreeMap::new();
            for object in listed {
                let bytes = client.get(&object.location).await.unwrap();
                let name = object.location.filename().unwrap().to_owned();
                objects.insert(name, bytes.bytes().await.unwrap().to_vec());
            }
            objects
        })
    }

    /// Does something to one object.
    fn change<T>(
        &self,
        name: &str,
        change: impl AsyncFnOnce(Arc<dyn ObjectStore>, Path) -> T,
    ) -> T {
        let key = Path::parse(format!("{}/{name}", self.prefix)).unwrap();
        block_on(&self.admin, async |client| change(client, key).await)
    }
}

fn with(program: Program, variables: &Variables) -> Program {
    let set = |program: Program, (name, value): &(&str, String)| program.env(name, value);
    variables.iter().fold(program, set)
}

fn block_on<T>(admin: &Variables, work: impl AsyncFnOnce(Arc<dyn ObjectStore>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(work(s3_client(admin)))
}

/// Each original of the site is one object, and nothing else is there.
fn assert_whole(site: &Site, objects: &BTreeMap<String, Vec<u8>>) {
    let originals = site.gallery.originals.iter();
    let expected: BTreeSet<_> = { originals }
        .map(|original| original.hash.to_hex())
        .collect();
    let found: BTreeSet<_> = { objects.values() }
        .map(|bytes| blake3::hash(bytes).to_hex())
        .collect();
    let names: Vec<_> = objects.keys().collect();
    assert_eq!(found, expected, "{names:?}");
    assert_eq!(objects.len(), site.gallery.originals.len(), "{names:?}");
}

fn assert_code(ended: &ProgramOutput, code: i32) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    for role in [Role::Worker, Role::Impostor] {
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains(role.secret()), "{said}");
    }
}

#[test]
fn object_store_run_twice_fetches_once_and_a_fresh_state_converges() {
    let (world, site, place) = (Sandbox::new(), Site::open(8), Place::new());
    let first = place.hold(site.fetch(&world)).run();
    assert_code(&first, 0);
    let objects = place.objects();
    assert_whole(&site, &objects);
    assert_eq!(site.sent(), site.originals());
    for (name, bytes) in &objects {
        let head = place.change(name, async |client, key| {
            let head = GetOptions {
                head: true,
                ..GetOptions::default()
            };
            client.get_opts(&key, head).await.unwrap()
        });
        let entry = Attribute::Metadata("blake3".into());
        let hash = blake3::hash(bytes).to_hex();
        assert_eq!(**head.attributes.get(&entry).unwrap(), *hash);
        let media_type = head.attributes.get(&Attribute::ContentType).unwrap();
        assert!(media_type.starts_with("image/"), "{media_type:?}");
    }
    let second = place.hold(site.fetch(&world)).run();
    assert_code(&second, 0);
    assert_eq!(site.sent(), site.originals(), "nothing was fetched again");
    let verify = || place.hold(world.wallhaul().args(["verify"])).run();
    assert_code(&verify(), 0);
    // Nothing is in the working folder, and all that is no image below the home folder.
    assert_eq!(std::fs::read_dir(world.work()).unwrap().count(), 0);
    let state = world.home().join(".local/state/wallhaul/s3").join(BUCKET);
    assert!(state.join(&place.prefix).join("ledger.db").is_file());
    let fresh = site.fetch(&world).args(["--state-dir", "fresh"]);
    assert_code(&place.hold(fresh).run(), 0);
    assert_eq!(place.objects(), objects);
    assert!(world.work().join("fresh/ledger.db").is_file());
}

#[test]
fn object_store_takes_three_runs_at_once_that_know_nothing_of_each_other() {
    let (world, site, place) = (Sandbox::new(), Site::open(40), Place::new());
    let states = ["one", "two", "three"];
    let run = |state| place.hold(site.fetch(&world).args(["--state-dir", state]));
    let runs = states.map(|state| run(state).start());
    for ended in runs.map(Running::wait) {
        assert_code(&ended, 0);
    }
    assert_whole(&site, &place.objects());
    let fetched = site.sent().len();
    for state in states {
        let verify = world.wallhaul().args(["verify", "--state-dir", state]);
        assert_code(&place.hold(verify).run(), 0);
        assert_code(&run(state).run(), 0);
    }
    assert_eq!(site.sent().len(), fetched, "each knows what it saved");
}

#[test]
fn state_dir_of_one_object_store_is_refused_for_another() {
    let (world, site) = (Sandbox::new(), Site::open(4));
    let (place, proxy) = (Place::new(), StoreProxy::before(seaweedfs().port()));
    assert_code(&place.hold(site.fetch(&world)).run(), 0);
    let elsewhere = s3_variables(proxy.port(), Role::Worker);
    let fetch = site.fetch(&world).args(["-d", &place.url()]);
    let refused = with(fetch, &elsewhere).run();
    assert_code(&refused, 2);
    assert!(refused.stderr.contains("--state-dir"), "{}", refused.stderr);
    let state = world.home().join(".local/state/wallhaul/s3").join(BUCKET);
    let state = state.join(&place.prefix);
    let other = site
        .fetch(&world)
        .args(["--state-dir".as_ref(), state.as_os_str()]);
    let refused = Place::new().hold(other).run();
    assert_code(&refused, 2);
    std::fs::remove_file(state.join("store")).unwrap();
    let fetch = site.fetch(&world).args(["-d", &place.url()]);
    assert_code(&with(fetch, &elsewhere).run(), 0);
    assert_eq!(site.sent(), site.originals());
}

#[test]
fn object_store_that_refuses_ends_the_run_with_words_that_say_what_to_do() {
    let site = Site::open(8);
    let server = seaweedfs();
    let [closed, ..] = free_ports();
    let cases: [(Variables, &str, i32, &[&str]); 8] = [
        (
            server.s3(Role::Impostor),
            "s3://pictures/a",
            6,
            &["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"],
        ),
        (
            s3_variables(closed, Role::Worker),
            "s3://pictures/a",
            6,
            &["Connection refused", "AWS_ENDPOINT_URL"],
        ),
        (
            server.s3(Role::Reader),
            "s3://pictures/read-only",
            6,
            &["AccessDenied", "read and write"],
        ),
        (
            server.s3(Role::Worker),
            "s3://no-such-bucket/a",
            6,
            &["no-such-bucket"],
        ),
        (
            vec![
                ("AWS_ACCESS_KEY_ID", "id".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", Role::Worker.secret().to_owned()),
                ("AWS_ENDPOINT_URL", "http://store.example".to_owned()),
            ],
            "s3://pictures/a",
            2,
            &["--insecure-store"],
        ),
        (
            server.s3(Role::Worker),
            "s3://pictures/a//b",
            2,
            &["s3://pictures/a//b"],
        ),
        (server.s3(Role::Worker), "s3://pictures/a#b", 2, &["`#`"]),
        (Vec::new(), "s3://pictures/a", 2, &["AWS_ACCESS_KEY_ID"]),
    ];
    for (variables, url, code, words) in cases {
        let world = Sandbox::new();
        let fetch = site
            .fetch(&world)
            .args(["--store-timeout", "1s", "-d", url]);
        let ended = with(fetch, &variables).run();
        assert_code(&ended, code);
        for word in words {
            assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        }
        assert_eq!(
            ended.stderr.matches("error:").count(),
            1,
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn object_stores_of_two_other_kinds_take_a_run() {
    for (scheme, variables) in [("az", azurite().azure()), ("s3", moto().s3(Role::Worker))] {
        let (world, site) = (Sandbox::new(), Site::open(4));
        let url = format!("{scheme}://{BUCKET}/out side");
        let run = |arguments: &[&str]| {
            let program = world.wallhaul().args(arguments).args(["-d", &url]);
            assert_code(&with(program, &variables).run(), 0);
        };
        let origin = site.nginx.origin();
        run(&["fetch", "--base-url", &origin]);
        run(&["fetch", "--base-url", &origin]);
        assert_eq!(site.sent(), site.originals());
        run(&["verify"]);
        run(&["verify", "--decode"]);
    }
}

#[test]
fn object_store_urls_work_with_urls_and_a_dry_run() {
    let (world, site, place) = (Sandbox::new(), Site::open(4), Place::new());
    let dry = || place.hold(site.fetch(&world).args(["--dry-run"])).run();
    let before = dry();
    assert_code(&before, 0);
    assert!(before.stderr.contains("4 "), "{}", before.stderr);
    assert!(place.objects().is_empty() && site.sent().is_empty());
    assert!(
        !world.home().join(".local").exists(),
        "nothing is made for it"
    );
    assert_code(&place.hold(site.fetch(&world)).run(), 0);
    assert_code(&dry(), 0);
    // It needs no collection.
    let urls = site.visit(&world, "urls").run();
    assert_code(&urls, 0);
    assert_eq!(urls.stdout.lines().count(), 4);
}

#[test]
fn state_dir_is_refused_for_a_folder_unless_it_is_a_default() {
    let (world, site, place) = (Sandbox::new(), Site::open(2), Place::new());
    let given = site.fetch(&world).args(["--state-dir", "state"]).run();
    assert_code(&given, 2);
    assert!(
        given.stderr.contains("--state-dir is for"),
        "{}",
        given.stderr
    );
    let variable = site.fetch(&world).env("WALLHAUL_STATE_DIR", "state").run();
    assert_code(&variable, 2);
    let listed = world
        .wallhaul()
        .args(["ledger", "list", "--state-dir", "state"]);
    assert_code(&listed.run(), 2);
    assert!(site.nginx.requests().is_empty());
    std::fs::write(world.work().join("config"), "state-dir = 'state'\n").unwrap();
    let fetch = || site.fetch(&world).args(["--config", "config"]);
    assert_code(&fetch().run(), 0);
    assert!(world.work().join("wallpapers").is_dir());
    assert_code(&place.hold(fetch()).run(), 0);
    assert!(world.work().join("state/ledger.db").is_file());
}
