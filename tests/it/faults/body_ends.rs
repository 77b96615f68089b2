//! How bodies end: what is whole although it is not said in the usual way, and what is cut.

use super::*;
use crate::support::fault_server::Certificate;

/// A gallery in TLS whose server closes connections without a `close_notify`, as it always does, and announces no
/// length. What it shows is changed first.
fn closing(
    rogue: &FaultServer,
    path: &str,
    change: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
) {
    rogue.on(path, move |asked| {
        Answer::head("200 OK", &["Connection: close"])
            .bytes(change(&asked.shown))
            .close()
    });
}

fn fetch_trusting(world: &Sandbox, rogue: &FaultServer) -> ProgramOutput {
    let authority = world.home().join("authority.pem");
    rogue.keep_authority(&authority);
    fetch(world.wallhaul(), rogue)
        .args(["--ca-certificate".as_ref(), authority.as_os_str()])
        .run()
}

fn secure() -> (Sandbox, FaultServer) {
    let rogue = FaultServer::secure(Certificate::Valid).with_gallery();
    (Sandbox::new(), rogue)
}

#[test]
fn a_tls_body_without_close_notify_is_whole_where_its_bytes_say_so() {
    let (world, rogue) = secure();
    closing(&rogue, "/robots.txt", |_| {
        b"User-agent: *\nDisallow: /x\n".to_vec()
    });
    for path in [
        "/browse/1/",
        PAGE,
        FaultServer::FAULTY,
        FaultServer::GOOD[0],
    ] {
        closing(&rogue, path, <[u8]>::to_vec);
    }
    closing(&rogue, PAGE, |page| {
        [page.trim_ascii_end(), b"\n<!-- made in 0.1 s -->\r\n"].concat()
    });
    let ended = fetch_trusting(&world, &rogue);
    assert_eq!(
        (ended.code, collection(&world).len()),
        (Some(0), 5),
        "{}",
        ended.stderr
    );
    assert_eq!(rogue.asked(FaultServer::FAULTY).len(), 1);
    assert_eq!(rogue.asked(PAGE).len(), 1);
}

#[test]
fn a_tls_body_without_close_notify_is_cut_where_its_bytes_show_no_end() {
    let (world, rogue) = secure();
    closing(&rogue, FaultServer::FAULTY, |image| {
        image[..image.len() - 1].to_vec()
    });
    let ended = fetch_trusting(&world, &rogue);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("broke off after"), "{}", ended.stderr);
    // A cut transfer is tried as often as any other.
    assert_eq!(rogue.asked(FaultServer::FAULTY).len(), 3);
    assert_eq!(collection(&world).len(), 4);

    let (world, rogue) = secure();
    closing(&rogue, PAGE, |page| page[..page.len() / 2].to_vec());
    let ended = fetch_trusting(&world, &rogue);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert_eq!(rogue.asked(PAGE).len(), 3);
}

#[test]
fn a_body_that_should_have_an_end_of_its_own_is_cut_without_it() {
    let (world, rogue) = secure();
    rogue.on(FaultServer::FAULTY, |asked| match asked.nth {
        1 => Answer::head("200 OK", &["Transfer-Encoding: chunked"])
            .chunk(&asked.shown)
            .close(),
        2 => {
            let length = format!("Content-Length: {}", asked.shown.len() + 1);
            Answer::head("200 OK", &[&length])
                .bytes(&*asked.shown)
                .close()
        }
        _ => asked.served(),
    });
    let ended = fetch_trusting(&world, &rogue);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(rogue.asked(FaultServer::FAULTY).len(), 3);
}

#[test]
fn a_whole_answer_may_have_another_status_than_200() {
    let mut cases = Vec::new();
    for (name, status, range) in [
        ("203", "203 Changed On The Way", false),
        ("226", "226 IM Used", false),
        ("206 of the whole", "206 Partial Content", true),
    ] {
        let answer = move |asked: &Asked| {
            let length = asked.shown.len();
            let range = if range {
                format!("Content-Range: bytes 0-{}/{length}", length - 1)
            } else {
                "X: y".to_owned()
            };
            Answer::whole(status, &[&range], &*asked.shown)
        };
        cases.push(Case::image(name, answer).comes(1));
        cases.push(
            Case::new(format!("{name}, a page"), move |rogue| {
                rogue.on(PAGE, answer);
            })
            .comes(1),
        );
    }
    for (name, range) in [
        ("the end is missing", "bytes 0-99/100000"),
        ("the beginning is missing", "bytes 1-99/100"),
        ("the length is not known", "bytes 0-99/*"),
        ("another unit", "pixels 0-99/100"),
        ("no range", ""),
    ] {
        let answer = move |asked: &Asked| {
            let range = format!("Content-Range: {range}");
            Answer::whole("206 Partial Content", &[&range], &*asked.shown)
        };
        cases.push(Case::image(name, answer).fails(1, &["206", "with a part"]));
    }
    hold(&cases);
}
