//! Images large enough to resume, and faults between the parts.

use std::time::Duration;

use serde_json::Value;

use super::malformed_images::large;
use super::*;
use crate::support::fault_server::etag;

/// How much of a large image comes before its connection breaks.
const CUT: usize = 1_200_000;

/// How large it is, and a little more.
const LARGE: usize = 1_500_000;

/// All of it is promised, under this validator, and so much comes.
fn cut(asked: &Asked, validator: &str) -> Answer {
    let length = format!("Content-Length: {}", asked.shown.len());
    Answer::head("200 OK", &[validator, &length]).bytes(&asked.shown[..CUT])
}

/// The same under the validator that the server gives for it.
fn cut_strong(asked: &Asked) -> Answer {
    cut(asked, &format!("ETag: {}", etag(&asked.shown))).close()
}

/// A large image that breaks off at first and is then answered like this.
fn broken(
    name: &str,
    first: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    then: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> Case {
    let (first, then) = (Arc::new(first), Arc::new(then));
    Case::new(name, move |rogue| {
        let (first, then) = (Arc::clone(&first), Arc::clone(&then));
        rogue.show(FaultServer::FAULTY, large(2, LARGE));
        rogue.on(FaultServer::FAULTY, move |asked| {
            if asked.nth == 1 {
                first(asked)
            } else {
                then(asked)
            }
        });
    })
}

/// The last bytes before a break may be on their way to the part still: so many at most.
const UNWRITTEN: usize = 64 * 1024;

/// Which of the requests for the faulty image go on, and not from its beginning.
fn goes_on(due: &'static [bool]) -> impl Fn(&[Asked]) + Send + Sync {
    move |requests| {
        let faulty: Vec<&Asked> = requests
            .iter()
            .filter(|asked| asked.path == FaultServer::FAULTY)
            .collect();
        let goes_on: Vec<bool> = faulty.iter().map(|asked| asked.from().is_some()).collect();
        assert_eq!(goes_on, due);
        for (asked, from) in faulty
            .iter()
            .filter_map(|asked| Some((asked, asked.from()?)))
        {
            assert!((CUT - UNWRITTEN..=CUT).contains(&from), "{from}");
            assert!(asked.header("if-range").is_some());
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn resume_after_reset_or_timeout_uses_a_range_request_where_it_is_safe() {
    let healthy = |asked: &Asked| asked.served();
    let short = ["--stall-timeout", "700ms"];
    hold(&[
        broken("FIN", cut_strong, healthy)
            .comes(2)
            .seen(goes_on(&[false, true])),
        broken(
            "silence",
            |asked| cut(asked, &format!("ETag: {}", etag(&asked.shown))).hang(),
            healthy,
        )
        .with(&short)
        .comes(2)
        .seen(goes_on(&[false, true])),
        // What was on its way is lost with an RST, so that nobody knows how much there is.
        broken(
            "RST",
            |asked| {
                cut(asked, &format!("ETag: {}", etag(&asked.shown)))
                    .pause(Duration::from_millis(200))
                    .reset()
            },
            healthy,
        )
        .comes(2),
        broken(
            "a weak validator",
            |asked| cut(asked, "ETag: W/\"1\"").close(),
            healthy,
        )
        .comes(2)
        .seen(goes_on(&[false, false])),
        broken(
            "half a validator",
            |asked| cut(asked, "ETag: \"1").close(),
            healthy,
        )
        .comes(2)
        .seen(goes_on(&[false, false])),
        broken(
            "a date for a validator",
            |asked| cut(asked, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT").close(),
            healthy,
        )
        .comes(2)
        .seen(goes_on(&[false, false])),
        broken("no validator", |asked| cut(asked, "X: y").close(), healthy)
            .comes(2)
            .seen(goes_on(&[false, false])),
        broken("200 for a range", cut_strong, |asked| {
            Answer::ok(asked.shown.to_vec())
        })
        .comes(2)
        .seen(goes_on(&[false, true])),
        broken("206 of the whole for a range", cut_strong, |asked| {
            let length = asked.shown.len();
            let range = format!("Content-Range: bytes 0-{}/{length}", length - 1);
            Answer::whole("206 Partial Content", &[&range], asked.shown.to_vec())
        })
        .comes(2)
        .seen(goes_on(&[false, true])),
        Case::new("changed meanwhile, and If-Range ignored", |rogue| {
            let (old, new) = (large(2, LARGE), large(3, LARGE));
            rogue.show(FaultServer::FAULTY, new);
            rogue.on(FaultServer::FAULTY, move |asked| match asked.nth {
                1 => cut_strong(&asked.if_it_were(&old)),
                2 => {
                    let (from, all) = (asked.from().expect("a range"), asked.shown.len());
                    let headers = [
                        format!("ETag: {}", etag(&asked.shown)),
                        format!("Content-Range: bytes {from}-{}/{all}", all - 1),
                    ];
                    let headers = headers.each_ref().map(|header| &**header);
                    Answer::whole("206 Partial Content", &headers, &asked.shown[from..])
                }
                _ => asked.served(),
            });
        })
        .comes(3)
        .seen(goes_on(&[false, true, false])),
        Case::new("the date changed meanwhile, and not the ETag", |rogue| {
            rogue.show(FaultServer::FAULTY, large(2, LARGE));
            rogue.on(FaultServer::FAULTY, |asked| {
                let date = format!("Last-Modified: Sun, 06 Nov 1994 08:49:3{} GMT", asked.nth);
                match (asked.nth, asked.from()) {
                    (1, _) => {
                        let validators = format!("ETag: \"1\"\r\n{date}");
                        cut(asked, &validators).close()
                    }
                    (_, Some(from)) => {
                        let all = asked.shown.len();
                        let range = format!("Content-Range: bytes {from}-{}/{all}", all - 1);
                        let headers = ["ETag: \"1\"", &date, &range];
                        Answer::whole("206 Partial Content", &headers, &asked.shown[from..])
                    }
                    _ => asked.served(),
                }
            });
        })
        .comes(3)
        .seen(goes_on(&[false, true, false])),
        Case::new("changed meanwhile", |rogue| {
            let (old, new) = (large(2, LARGE), large(3, LARGE + 99));
            rogue.show(FaultServer::FAULTY, new);
            rogue.on(FaultServer::FAULTY, move |asked| match asked.nth {
                1 => cut_strong(&asked.if_it_were(&old)),
                _ => asked.served(),
            });
        })
        .comes(2)
        .seen(goes_on(&[false, true])),
    ]);
}

/// What it is called, and what a part is answered with that does not fit it.
type Misfit = (&'static str, fn(&Asked) -> Answer);

fn misfits() -> Vec<Misfit> {
    /// A rest that begins at `first` and says this of itself.
    fn partial(asked: &Asked, range: &str, first: usize) -> Answer {
        let headers = [&format!("ETag: {}", etag(&asked.shown)), range];
        Answer::whole("206 Partial Content", &headers, &asked.shown[first..])
    }
    /// Where the rest begins that is asked for, and how long the whole is.
    fn due(asked: &Asked) -> (usize, usize) {
        (asked.from().expect("a range"), asked.shown.len())
    }
    fn range(first: usize, last: usize, all: usize) -> String {
        format!("Content-Range: bytes {first}-{last}/{all}")
    }
    vec![
        ("from elsewhere", |asked| {
            let (from, all) = due(asked);
            partial(asked, &range(from - 100, all - 1, all), from - 100)
        }),
        ("another total", |asked| {
            let (from, all) = due(asked);
            partial(asked, &range(from, all - 1, all + 7), from)
        }),
        ("an unknown total", |asked| {
            let (from, all) = due(asked);
            partial(
                asked,
                &format!("Content-Range: bytes {from}-{}/*", all - 1),
                from,
            )
        }),
        ("less than asked for", |asked| {
            let (from, all) = due(asked);
            partial(asked, &range(from, all - 100, all), from)
        }),
        ("no range named", |asked| {
            partial(asked, "X: y", due(asked).0)
        }),
        ("a range that is none", |asked| {
            partial(asked, "Content-Range: bytes -5--1/-3", due(asked).0)
        }),
        ("several pieces", |asked| {
            partial(
                asked,
                "Content-Type: multipart/byteranges; boundary=x",
                due(asked).0,
            )
        }),
        ("another ETag", |asked| {
            let (from, all) = due(asked);
            let headers = ["ETag: \"other\"", &range(from, all - 1, all)];
            Answer::whole("206 Partial Content", &headers, &asked.shown[from..])
        }),
        ("no ETag", |asked| {
            let (from, all) = due(asked);
            let headers = ["X: y", &range(from, all - 1, all)];
            Answer::whole("206 Partial Content", &headers, &asked.shown[from..])
        }),
        ("a weak ETag", |asked| {
            let (from, all) = due(asked);
            let weak = format!("ETag: W/{}", etag(&asked.shown));
            let headers = [&*weak, &range(from, all - 1, all)];
            Answer::whole("206 Partial Content", &headers, &asked.shown[from..])
        }),
        ("an end before its beginning", |asked| {
            let (from, all) = due(asked);
            partial(asked, &range(from, from - 1, all), all)
        }),
        ("another unit", |asked| {
            let (from, all) = due(asked);
            let range = format!("Content-Range: pixels {from}-{}/{all}", all - 1);
            partial(asked, &range, from)
        }),
        ("400", |_| Answer::status(400)),
        ("412", |_| Answer::status(412)),
        ("416 and nothing else", |_| Answer::status(416)),
        ("501", |_| Answer::status(501)),
        ("416", |asked| {
            Answer::whole(
                "416 Not There",
                &[&format!("Content-Range: bytes */{}", asked.shown.len())],
                "",
            )
        }),
        ("416, as if it were all there", |asked| {
            Answer::whole(
                "416 Not There",
                &[&format!("Content-Range: bytes */{}", due(asked).0)],
                "",
            )
        }),
    ]
}

#[test]
fn resume_with_a_mismatched_range_response_restarts_the_image() {
    let mut cases = Vec::new();
    for (name, misfit) in misfits() {
        let then = move |asked: &Asked| {
            if asked.from().is_some() {
                misfit(asked)
            } else {
                asked.served()
            }
        };
        cases.push(
            broken(name, cut_strong, then)
                .comes(3)
                .seen(goes_on(&[false, true, false])),
        );
        let always = move |asked: &Asked| {
            if asked.from().is_some() {
                misfit(asked)
            } else {
                cut_strong(asked)
            }
        };
        let case = broken(&format!("{name}, again and again"), cut_strong, always);
        cases.push(case.fails(5, &["broke off after 1200000"]).leaves_a_part());
    }
    let says_it_is_all = |asked: &Asked, rest: &[u8]| {
        let (from, all) = (asked.from().expect("a range"), asked.shown.len());
        let headers = [
            format!("ETag: {}", etag(&asked.shown)),
            format!("Content-Range: bytes {from}-{}/{all}", all - 1),
        ];
        Answer::whole(
            "206 Partial Content",
            &headers.each_ref().map(|header| &**header),
            rest,
        )
    };
    let short = move |asked: &Asked| match asked.nth {
        2 => says_it_is_all(
            asked,
            &asked.shown[asked.from().expect("a range")..LARGE - 100],
        ),
        _ => asked.served(),
    };
    cases.push(
        broken("206 with less than it says", cut_strong, short)
            .comes(3)
            .seen(|requests| {
                let faulty = requests
                    .iter()
                    .filter(|asked| asked.path == FaultServer::FAULTY);
                assert_eq!(
                    faulty.map(Asked::from).next_back(),
                    Some(Some(LARGE - 100)),
                    "it goes on behind what came"
                );
            }),
    );
    let long = move |asked: &Asked| {
        let rest = asked.shown[asked.from().expect("a range")..].to_vec();
        says_it_is_all(asked, &[&rest[..], b"and more"].concat())
    };
    let long = broken("206 with more than it says", cut_strong, long);
    cases.push(long.fails(2, &["longer than announced"]).leaves_a_part());
    hold(&cases);
}

/// What lies of an image when its run is over: the part's bytes, and what is noted beside it.
struct Left {
    part: Vec<u8>,
    note: Value,
}

/// What happens to that before the next run, and which of that one's requests go on from where it ends.
type Meddling = (&'static str, fn(&mut Left, &[u8]), &'static [bool]);

const MEDDLINGS: [Meddling; 17] = [
    ("nothing", |_, _| (), &[true]),
    (
        "longer than the whole",
        |left, _| left.part.resize(LARGE + 1000, b'.'),
        &[false],
    ),
    (
        "as long as the whole",
        |left, whole| left.part = whole.to_vec(),
        &[],
    ),
    (
        "as long as the whole, and wrong",
        |left, whole| left.part.resize(whole.len(), b'.'),
        &[false],
    ),
    (
        "a byte short",
        |left, whole| left.part = whole[..whole.len() - 1].to_vec(),
        &[true],
    ),
    ("empty", |left, _| left.part.clear(), &[false]),
    (
        "a byte is wrong",
        |left, _| left.part[CUT / 2] ^= 1,
        &[true, false],
    ),
    (
        "of another address",
        |left, _| left.note["address"] = "https://static.simpledesktops.com/b.png".into(),
        &[false],
    ),
    (
        "of an older version",
        |left, _| left.note["version"] = 0.into(),
        &[false],
    ),
    (
        "of a newer version",
        |left, _| left.note["version"] = 2.into(),
        &[false],
    ),
    (
        "of another boot",
        |left, _| left.note["boot"] = "another".into(),
        &[false],
    ),
    (
        "of a weak validator",
        |left, _| left.note["etag"] = "W/\"1\"".into(),
        &[false],
    ),
    (
        "of another validator",
        |left, _| left.note["etag"] = "\"other\"".into(),
        &[true],
    ),
    (
        "of another length",
        |left, _| left.note["length"] = (LARGE + 5000).into(),
        &[true, false],
    ),
    (
        "of a length below its own",
        |left, _| left.note["length"] = 5.into(),
        &[false],
    ),
    (
        "a note that is none",
        |left, _| left.note = "dear diary".into(),
        &[false],
    ),
    (
        "a note that says nothing",
        |left, _| left.note = Value::Null,
        &[false],
    ),
];

#[test]
fn resume_of_an_earlier_runs_part_only_where_it_is_safe() {
    for (name, meddle, due) in MEDDLINGS {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        let whole = large(2, LARGE);
        rogue.show(FaultServer::FAULTY, whole.clone());
        rogue.on(FaultServer::FAULTY, cut_strong);
        let ended = fetch(world.wallhaul(), &rogue).run();
        assert_eq!(
            (ended.code, parts(&world).len()),
            (Some(1), 2),
            "{name}: {}",
            ended.stderr
        );

        let folder = world.work().join(GOT).join(".wallhaul/parts");
        let file = |kind: &str| {
            let name = parts(&world).into_keys().find(|name| name.ends_with(kind));
            folder.join(name.unwrap_or_else(|| panic!("no {kind}")))
        };
        let (part, note) = (file(".part"), file(".note"));
        let read = |file| fs::read(file).expect("a file of the parts");
        let mut left = Left {
            part: read(&part),
            note: serde_json::from_slice(&read(&note)).expect("a note"),
        };
        assert!(
            whole.starts_with(&left.part) && (CUT - UNWRITTEN..=CUT).contains(&left.part.len()),
            "{name}"
        );
        meddle(&mut left, &whole);
        fs::write(&part, &left.part).expect("a file of the parts");
        fs::write(&note, left.note.to_string()).expect("a file of the parts");

        rogue.heal();
        let again = fetch(world.wallhaul(), &rogue).run();
        assert_eq!(again.code, Some(0), "{name}: {}", again.stderr);
        let asked: Vec<_> = rogue
            .asked(FaultServer::FAULTY)
            .iter()
            .map(Asked::from)
            .collect();
        let due: Vec<_> = due
            .iter()
            .map(|goes_on| goes_on.then_some(left.part.len()))
            .collect();
        assert_eq!(asked, due, "{name}");
        assert_kept(
            &world,
            &rogue,
            &[&FaultServer::GOOD[..], &[FaultServer::FAULTY]].concat(),
            &again,
        );
        assert_eq!(parts(&world).len(), 0, "{name}");
    }
}
