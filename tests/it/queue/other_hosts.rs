//! Images with candidates on several hosts: a job is for one host, and goes on to the next as that one's job.

use super::*;
use crate::support::nats::NEWEST;

/// The second address of a card's image, on another host.
const ELSEWHERE: &str = r#"
[[full]]
rewrite = { from = "thumb", regex = '.+/thumb/(?<name>[^/]+)$', to = 'https://other.invalid/full/${name}' }
"#;

/// The page that a card links to names so many addresses of its image.
fn named_by_the_page(addresses: usize) -> String {
    let sources: Vec<_> = (1..=addresses)
        .map(|number| format!(r#""a.n{number}@href""#))
        .collect();
    format!(
        "\n[[full]]\nfollow = {{ from = \"link\", kind = \"html\", find = [{}] }}\n",
        sources.join(", ")
    )
}

/// A page that names these addresses.
fn page_of(addresses: impl IntoIterator<Item = String>) -> Vec<u8> {
    let links = (1..)
        .zip(addresses)
        .map(|(number, address)| format!(r#"<a class="n{number}" href="{address}">it</a>"#));
    html(&links.collect::<String>())
}

/// A site on two hosts, whose server has a folder for each.
fn two_hosts(cards: usize, rest: &str) -> OwnSite {
    let root = "/own.invalid";
    OwnSite::mirrored(
        FaultServer::start(),
        "https://own.invalid",
        root,
        cards,
        rest,
    )
}

/// Lets the coordinator and one worker do all they can.
fn followed(own: &OwnSite) -> ProgramOutput {
    let mirror = format!("{}/{{host}}/", own.server.origin());
    let worker = own.worker().args(["--base-url", &mirror]).start();
    let followed = own.follow().args(["--base-url", &mirror]).run();
    let worker = end(worker);
    assert_eq!(worker.code, Some(143), "{worker:?}");
    followed
}

/// How the failed images ended, in the order of their addresses.
fn failures(run: &ProgramOutput) -> Vec<Value> {
    let mut failures = run.objects();
    failures.retain(|event| event["outcome"] == "failed");
    failures.sort_by_key(|event| event["key"].to_string());
    failures
}

#[test]
fn a_candidate_on_another_host_is_tried_as_a_job_of_that_host() {
    let own = two_hosts(2, &format!("{FULL}{ELSEWHERE}"));
    // The first image is on its first host, the second one on its second.
    for path in ["/own.invalid/full/1.png", "/other.invalid/full/2.png"] {
        own.server.show(path, picture(path.len(), ImageFormat::Png));
    }
    let jobs = own.nats.listen("wallhaul.job.>");
    let followed = followed(&own);
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 2),
        "{followed:?}"
    );
    let jobs: Vec<_> = jobs.heard().into_iter().map(|job| job.subject).collect();
    assert_eq!(
        jobs,
        [
            "wallhaul.job.own=2Einvalid",
            "wallhaul.job.own=2Einvalid",
            "wallhaul.job.other=2Einvalid"
        ]
    );
    assert_eq!(
        (
            own.asked("/own.invalid/full/"),
            own.asked("/other.invalid/full/")
        ),
        (2, 1)
    );
    assert_eq!(files(&own.world.work().join("one/own")).len(), 2);
    assert_eq!((own.nats.messages("JOBS"), own.nats.results()), (0, 0));
}

#[test]
fn an_image_is_gone_only_if_it_is_gone_from_every_host() {
    let own = two_hosts(2, &format!("{FULL}{ELSEWHERE}"));
    own.server.show("/own.invalid/full/1.png", html("later"));
    let followed = followed(&own);
    assert_eq!(followed.code, Some(1), "{followed:?}");
    let gone: Vec<_> = failures(&followed)
        .iter()
        .map(|failure| failure["gone"].clone())
        .collect();
    assert_eq!(gone, [false, true], "{followed:?}");
    assert_eq!(own.asked("/other.invalid/full/"), 2);
}

#[test]
fn twenty_addresses_of_an_image_are_requested_at_most_on_all_hosts_together() {
    let own = two_hosts(1, &named_by_the_page(30));
    let addresses = (1..=30).map(|number| {
        let host = ["own", "other"][number % 2];
        format!("https://{host}.invalid/full/{number}.png")
    });
    own.server.show("/own.invalid/view/1", page_of(addresses));
    let followed = followed(&own);
    assert_eq!(
        (followed.code, count(&followed.sum(), "failed")),
        (Some(1), 1),
        "{followed:?}"
    );
    // The page is one of them.
    let images = own.asked("/own.invalid/full/") + own.asked("/other.invalid/full/");
    assert_eq!((own.asked("/own.invalid/view/"), images), (1, 19));
}

#[test]
fn a_job_whose_next_address_holds_a_secret_is_not_sent_to_the_queue() {
    const SECRET: &str = "s3cr3tKey9";
    let secret = r#"
[secrets]
key = { variable = "OWN_ACCESS" }
[request]
headers = { X-Key = "{secret.key}" }
"#;
    let rest = named_by_the_page(1) + secret;
    let own = OwnSite::with(1, &rest);
    let address = format!("https://other.invalid/full/1.png?key={SECRET}");
    own.server.show("/view/1", page_of([address]));
    let messages = own.nats.listen("wallhaul.>");
    let with_secret = |run: Program| {
        let run = run.env("OWN_ACCESS", SECRET);
        run.args(["--secret-env", "OWN_ACCESS"])
    };
    let worker = with_secret(own.worker()).start();
    let followed = with_secret(own.follow()).run();
    assert_eq!(end(worker).code, Some(143));
    assert_eq!(followed.code, Some(1), "{followed:?}");
    let [failure] = &failures(&followed)[..] else {
        panic!("one failure: {followed:?}")
    };
    assert_eq!(
        failure["cause"], "its address holds a secret, which is sent to no queue",
        "{failure}"
    );
    assert!(!followed.stdout.contains(SECRET), "{followed:?}");
    let heard = messages.heard();
    assert!(heard.len() >= 2, "the job and its result");
    for message in heard {
        let text = String::from_utf8_lossy(&message.payload);
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn jobs_that_pages_make_too_long_for_the_queue_have_failed_and_end_no_worker() {
    let mut own = OwnSite::with(3, &named_by_the_page(64));
    own.nats = Nats::with(NEWEST, "max_payload: 256KB");
    // So many addresses of so many bytes: more than the broker takes, and what fits alone and not with the rest of its
    // job.
    for (card, addresses, length) in [(1, 64, 8000), (2, 59, 1001)] {
        let addresses = (0..addresses).map(|number| {
            let address = format!("https://other.invalid/{number:02}/");
            format!("{address:x<length$}")
        });
        own.server
            .show(&format!("/view/{card}"), page_of(addresses));
    }
    own.server
        .show("/view/3", page_of(["/full/3.png".to_owned()]));
    own.server.show("/full/3.png", picture(3, ImageFormat::Png));
    let worker = own.worker().start();
    let followed = own.follow().run();
    let worker = end(worker);
    assert_eq!(worker.code, Some(143), "{worker:?}");
    let sum = followed.sum();
    assert_eq!(
        (followed.code, count(&sum, "saved"), count(&sum, "failed")),
        (Some(1), 1, 2),
        "{followed:?}"
    );
    for failure in failures(&followed) {
        assert_eq!(
            failure["cause"],
            "the pages that should lead to it name too many addresses"
        );
    }
    // The worker has refused the first, and the coordinator the second.
    let refused = worker
        .objects()
        .into_iter()
        .filter(|event| event["outcome"] == "failed");
    assert_eq!(refused.count(), 1, "{worker:?}");
}
