//! Faults of the network and of what it delivers, as tables of cases.
//!
//! Each case is one fault and its expected result: the exit code, the files and the ledger, the
//! requests, and the messages. Then the fault is removed, and the same command once more must fetch
//! what is missing and request nothing else.

mod body_ends;
mod candidates;
mod content_coding;
mod cookies;
mod definitions_and_config;
mod dns;
mod hostile_names;
mod http_framing;
mod http_heads;
mod http_status;
mod image_content;
mod listing;
mod malformed_images;
mod memory;
mod network;
mod pages;
mod redirects;
mod resume;
mod robots;

use std::fs;
use std::sync::Arc;
use std::thread;

use blake3::Hash;

use crate::support::fault_server::{Answer, Asked, FaultServer};
use crate::support::mirror::{GOT, collection, parts, sqlite};
use crate::support::program::{Program, ProgramOutput, Sandbox, WALLHAUL};

/// The most that may be resident at sixteen jobs, in kilobytes.
const MOST_MEMORY: u64 = 150_000;

/// How many cases run at a time: most of them wait more than they work.
const AT_A_TIME: usize = 6;

/// The listing page that the faulty image stands on.
const PAGE: &str = "/browse/2/";

/// Where the shipped definition says that the images lie.
const IMAGES: &str = "https://static.simpledesktops.com";

/// Where a definition of the user's own lies.
const DEFINITION: &str = "definition.toml";

/// One fault, and what a run makes of it.
struct Case {
    name: String,
    fault: Box<dyn Fn(&FaultServer) + Send + Sync>,
    args: Vec<String>,
    /// Where the site's definition says that it lies, if that is not where the shipped one does.
    home: Option<String>,
    end: End,
    /// How often the faulty thing is asked for in the run that meets the fault.
    asked: usize,
    /// What the one line about it says.
    says: Vec<&'static str>,
    seen: Option<RequestCheck>,
    /// The name that it gets.
    name_kept: Option<String>,
    /// Whether a part stays for the next run to go on with.
    leaves_a_part: bool,
}

/// A look at the requests of a run.
type RequestCheck = Box<dyn Fn(&[Asked]) + Send + Sync>;

/// How the run that meets the fault ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The image comes all the same.
    Comes,
    /// It fails, and comes once the fault is gone.
    Fails,
    /// It fails, and the next run does not ask for it.
    Gone,
    /// The listing breaks off before it.
    Unlisted,
}

impl Case {
    /// A fault that is brought about like this.
    fn new(name: impl Into<String>, fault: impl Fn(&FaultServer) + Send + Sync + 'static) -> Self {
        let (fault, name) = (Box::new(fault), name.into());
        Self {
            name,
            fault,
            args: Vec::new(),
            home: None,
            end: End::Comes,
            asked: 1,
            says: Vec::new(),
            seen: None,
            name_kept: None,
            leaves_a_part: false,
        }
    }

    /// An image that is answered like this.
    fn image(
        name: impl Into<String>,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let script = Arc::new(script);
        Self::new(name, move |rogue| {
            let script = Arc::clone(&script);
            rogue.on(FaultServer::FAULTY, move |asked| script(asked));
        })
    }

    /// A listing page that is answered like this, so often; what the run says of it.
    fn page(
        name: impl Into<String>,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let script = Arc::new(script);
        let case = Self::new(name, move |rogue| {
            let script = Arc::clone(&script);
            rogue.on(PAGE, move |asked| script(asked));
        });
        Self {
            end: End::Unlisted,
            ..case
        }
    }

    /// It comes after so many requests.
    fn comes(self, asked: usize) -> Self {
        Self {
            end: End::Comes,
            asked,
            ..self
        }
    }

    /// It fails after so many requests, and the line about it says that; a page's listing breaks off there.
    fn fails(self, asked: usize, says: &[&'static str]) -> Self {
        let end = if self.end == End::Unlisted {
            End::Unlisted
        } else {
            End::Fails
        };
        Self {
            end,
            asked,
            says: says.to_vec(),
            ..self
        }
    }

    /// It is gone.
    fn gone(self, says: &[&'static str]) -> Self {
        Self {
            end: End::Gone,
            asked: 1,
            says: says.to_vec(),
            ..self
        }
    }

    /// The program is given further arguments.
    fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// The site is one of this origin, which the user named by a definition of his own, so that a redirect may
    /// lead there; it is fetched from its mirror as always.
    fn at_home(self, origin: &str) -> Self {
        Self {
            home: Some(origin.to_owned()),
            ..self
        }
    }

    /// It gets this name.
    fn named(self, name: &str) -> Self {
        Self {
            name_kept: Some(name.to_owned()),
            ..self
        }
    }

    /// What came of it lies among the parts, for the next run.
    fn leaves_a_part(self) -> Self {
        Self {
            leaves_a_part: true,
            ..self
        }
    }

    /// Something more holds for the requests of the run that meets the fault, in their order.
    fn seen(self, seen: impl Fn(&[Asked]) + Send + Sync + 'static) -> Self {
        Self {
            seen: Some(Box::new(seen)),
            ..self
        }
    }

    fn hold(&self) {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        (self.fault)(&rogue);
        if let Some(home) = &self.home {
            fs::write(world.work().join(DEFINITION), definition(home))
                .expect("a file for the definition");
        }
        self.hold_met(&world, &rogue);
        rogue.heal();
        self.hold_healed(&world, &rogue);
    }

    /// The run that meets the fault.
    fn hold_met(&self, world: &Sandbox, rogue: &FaultServer) {
        let (ended, peak) = measured(world, |program| self.fetch(program, rogue));
        let requests = rogue.requests();
        assert_plain(&ended);
        println!("{peak} KB: {}", self.name);
        assert!(peak < MOST_MEMORY, "{peak} KB resident");
        let (code, kept, state, failed) = match self.end {
            End::Comes => (
                0,
                [&FaultServer::GOOD[..], &[FaultServer::FAULTY]].concat(),
                "saved",
                0,
            ),
            End::Fails => (1, FaultServer::GOOD.to_vec(), "failed", 1),
            End::Gone => (1, FaultServer::GOOD.to_vec(), "gone", 1),
            End::Unlisted => (3, FaultServer::GOOD[..2].to_vec(), "", 0),
        };
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert_kept(world, rogue, &kept, &ended);
        // A part that can go on has its note beside it.
        assert_eq!(parts(world).len(), if self.leaves_a_part { 2 } else { 0 });
        let named = self
            .name_kept
            .iter()
            .all(|name| collection(world).contains_key(name));
        assert!(named, "{:?}", collection(world).into_keys());
        let faulty = if self.end == End::Unlisted {
            PAGE
        } else {
            FaultServer::FAULTY
        };
        assert_eq!(count(&requests, faulty), self.asked, "{}", ended.stderr);
        for good in kept.into_iter().filter(|path| *path != faulty) {
            assert_eq!(count(&requests, good), 1, "{good}");
        }
        self.assert_said(&ended, &rogue.origin());
        let sum = ended.sum();
        let of = |what: &str| {
            sum[what]
                .as_u64()
                .unwrap_or_else(|| panic!("no {what} in {sum}"))
        };
        let ends = [
            "saved",
            "duplicate",
            "already_there",
            "gone",
            "skipped",
            "failed",
            "interrupted",
            "not_started",
        ]
        .map(of);
        assert_eq!(
            (of("found"), of("failed")),
            (ends.iter().sum(), failed),
            "{sum}"
        );
        let row = format!(
            "select state from collection where address like '%{}'",
            FaultServer::FAULTY
        );
        assert_eq!(sqlite(world, &row).trim_end(), state);
        if let Some(seen) = &self.seen {
            seen(&requests);
        }
    }

    /// The run after it was taken away.
    fn hold_healed(&self, world: &Sandbox, rogue: &FaultServer) {
        let ended = self.fetch(world.wallhaul(), rogue).run();
        assert_eq!(
            (ended.code, ended.stderr.contains("failed ")),
            (Some(0), false),
            "healed: {}",
            ended.stderr
        );
        let missing: &[&str] = match self.end {
            End::Comes | End::Gone => &[],
            End::Fails => &[FaultServer::FAULTY],
            End::Unlisted => &[
                FaultServer::GOOD[2],
                FaultServer::GOOD[3],
                FaultServer::FAULTY,
            ],
        };
        let asked: Vec<_> = rogue.originals_asked().into_iter().collect();
        let due: Vec<_> = missing.iter().map(|path| ((*path).to_owned(), 1)).collect();
        assert_eq!(asked, due, "healed");
        let faulty = if self.end == End::Gone {
            &[][..]
        } else {
            &[FaultServer::FAULTY]
        };
        assert_kept(world, rogue, &[&FaultServer::GOOD, faulty].concat(), &ended);
        assert_eq!(parts(world).len(), 0, "healed");
    }

    fn fetch(&self, program: Program, rogue: &FaultServer) -> Program {
        let site_file: &[&str] = if self.home.is_some() {
            &["--site-file", DEFINITION]
        } else {
            &[]
        };
        fetch(program, rogue).args(site_file).args(&self.args)
    }

    /// One line is said of the faulty thing, or none where nothing is wrong in the end.
    fn assert_said(&self, ended: &ProgramOutput, mirror: &str) {
        let begins = match self.end {
            End::Comes => "failed ".to_owned(),
            End::Fails | End::Gone => format!("failed {mirror}{}: ", FaultServer::FAULTY),
            End::Unlisted => "error: cannot read the listing at ".to_owned(),
        };
        let shown: Vec<&str> = ended
            .stderr
            .lines()
            .filter(|line| line.starts_with(&begins))
            .collect();
        assert_eq!(
            shown.len(),
            usize::from(self.end != End::Comes),
            "{}",
            ended.stderr
        );
        for (line, words) in shown
            .iter()
            .flat_map(|line| self.says.iter().map(move |words| (line, words)))
        {
            assert!(line.contains(words), "`{words}` is not in: {line}");
        }
    }
}

/// Holds every case of a table; each that fails is named.
fn hold(cases: &[Case]) {
    let mut failed = Vec::new();
    for some in cases.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            let mut running = Vec::new();
            for case in some {
                // A panic is reported under the name of its thread.
                let thread = thread::Builder::new().name(case.name.clone());
                running.push((
                    &case.name,
                    thread
                        .spawn_scoped(scope, || case.hold())
                        .expect("a thread"),
                ));
            }
            failed.extend(
                running
                    .into_iter()
                    .filter_map(|(name, thread)| thread.join().is_err().then_some(name)),
            );
        });
    }
    assert!(
        failed.is_empty(),
        "{} of {} cases failed: {failed:#?}",
        failed.len(),
        cases.len()
    );
}

/// The program about to fetch the whole site. What is said twice on its command line is an error, so that what
/// a case may want otherwise is said by the environment.
fn fetch(program: Program, rogue: &FaultServer) -> Program {
    fetch_from(program, &rogue.origin())
}

fn fetch_from(program: Program, origin: &str) -> Program {
    let said = [
        ("RETRY_WAIT", "1ms"),
        ("SYNC", "off"),
        ("JOBS", "16"),
        ("RETRIES", "2"),
    ];
    let program = said.iter().fold(program, |program, (name, value)| {
        program.env(&format!("WALLHAUL_{name}"), value)
    });
    program.args(["fetch", "--base-url", origin, "-d", GOT, "--json"])
}

/// The shipped definition for a site of this origin.
fn definition(origin: &str) -> String {
    let shipped = include_str!("../../../src/site/shipped/simpledesktops.toml");
    let moved = shipped
        .replace("https://simpledesktops.com", origin)
        .replace("name = \"simple", "name = \"moved-simple");
    moved
        .lines()
        .filter(|line| !line.starts_with("image_hosts"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// How often `path` is among `requests`.
fn count(requests: &[Asked], path: &str) -> usize {
    requests.iter().filter(|asked| asked.path == path).count()
}

/// The collection holds what the server has at these paths, and nothing else.
fn assert_kept(world: &Sandbox, rogue: &FaultServer, paths: &[&str], ended: &ProgramOutput) {
    let mut kept: Vec<Hash> = collection(world).into_values().collect();
    let mut due = rogue.hashes(paths);
    kept.sort_unstable_by_key(|hash| *hash.as_bytes());
    due.sort_unstable_by_key(|hash| *hash.as_bytes());
    assert_eq!(kept, due, "{}", ended.stderr);
}

/// With any response of the server, the messages command no terminal, and nothing panicked.
fn assert_plain(ended: &ProgramOutput) {
    assert!(
        !ended.stderr.contains(|c: char| c.is_control() && c != '\n'),
        "{:?}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// Runs the program; how it ended, and the most memory that was resident, in kilobytes.
fn measured(world: &Sandbox, with: impl FnOnce(Program) -> Program) -> (ProgramOutput, u64) {
    let script = "import os, sys\n\
                  child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)\n\
                  _, status, used = os.wait4(child, 0)\n\
                  open(sys.argv[1], 'w').write(str(used.ru_maxrss))\n\
                  sys.exit(os.waitstatus_to_exitcode(status))";
    let file = world.home().join("peak");
    let program = world
        .program("python3")
        .args(["-IS", "-c", script])
        .args([file.as_os_str()])
        .args([WALLHAUL]);
    let ended = with(program).run();
    let peak = fs::read_to_string(file)
        .expect("what was measured")
        .parse()
        .expect("a number");
    (ended, peak)
}
