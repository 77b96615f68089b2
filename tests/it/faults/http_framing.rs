//! HTTP responses with wrong lengths, chunks or headers.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::malformed_images::avif;
use super::*;

/// A head with this `Content-Length`.
fn promising(length: &str) -> Answer {
    Answer::head(
        "200 OK",
        &[
            "Content-Type: image/png",
            &format!("Content-Length: {length}"),
        ],
    )
}

/// No connection that a faulty image came by was used again.
fn never_again(requests: &[Asked]) {
    let mut spoilt = HashSet::new();
    for asked in requests {
        assert!(
            !spoilt.contains(&asked.connection),
            "asked by a spoilt connection: {}",
            asked.path
        );
        if asked.path == FaultServer::FAULTY {
            spoilt.insert(asked.connection);
        }
    }
}

#[test]
fn wrong_content_length_never_saves_a_truncated_file() {
    let whole =
        |length: &'static str| move |asked: &Asked| promising(length).bytes(asked.shown.to_vec());
    let mut cases = vec![
        Case::image("too large, then FIN", move |asked| {
            whole("100000")(asked).close()
        })
        .fails(3, &["broke off after"]),
        Case::image("too large, then silence", move |asked| {
            whole("100000")(asked).hang()
        })
        .with(&["--stall-timeout", "700ms"])
        .fails(3, &["timed out waiting"]),
        Case::image("too small", whole("100"))
            .fails(2, &["cut", "2 attempts"])
            .seen(never_again),
        Case::image("nothing, and then the image", whole("0"))
            .fails(1, &["empty"])
            .seen(never_again),
        Case::image("2^63-1", whole("9223372036854775807"))
            .fails(1, &["more than the 100000000 bytes allowed"]),
        Case::image("a byte above the limit", whole("100000001"))
            .fails(1, &["more than the 100000000 bytes allowed"]),
    ];
    for junk in [
        "-5",
        "-1",
        "abc",
        "1e3",
        "0x40",
        "",
        "1 000",
        "18446744073709551616",
        "12,13",
        "+99999999999999999999",
    ] {
        cases.push(
            Case::image(format!("`{junk}`"), whole(junk)).fails(3, &["invalid HTTP response"]),
        );
    }
    let twice = |asked: &Asked, other: usize| {
        let lengths = [asked.shown.len(), other].map(|length| format!("Content-Length: {length}"));
        Answer::head("200 OK", &[&lengths[0], &lengths[1]]).bytes(asked.shown.to_vec())
    };
    cases.push(
        Case::image("two that differ", move |asked| {
            twice(asked, asked.shown.len() - 9)
        })
        .fails(3, &["invalid HTTP response"]),
    );
    cases.push(
        Case::image("two that agree", move |asked| {
            twice(asked, asked.shown.len())
        })
        .comes(1),
    );
    for (name, lines) in [
        ("a bare CR behind it", "Content-Length: {}\rX: y"),
        ("a bare CR before it", "X: y\rContent-Length: {}"),
        ("a control character in its name", "Content-Length\u{1}: {}"),
        (
            "a control character in its value",
            "Content-Length: {}\u{b}",
        ),
        ("a fold in its number", "Content-Length: 1\r\n {}"),
    ] {
        cases.push(
            Case::image(name, move |asked| {
                let lines = lines.replace("{}", &asked.shown.len().to_string());
                Answer::head("200 OK", &[&lines]).bytes(asked.shown.to_vec())
            })
            .fails(3, &["invalid HTTP response"]),
        );
    }
    let chunks_too = |asked: &Asked| Answer::chunked(&["Content-Length: 10"], &[&asked.shown]);
    let both = Case::image("chunks and a length", chunks_too);
    cases.push(both.fails(3, &["invalid HTTP response"]));
    hold(&cases);
}

#[test]
fn chunked_body_counts_only_with_its_last_chunk() {
    let half = |asked: &Asked| {
        let head = Answer::head("200 OK", &["Transfer-Encoding: chunked"]);
        head.chunk(&asked.shown[..asked.shown.len() / 2])
    };
    let all = move |asked: &Asked| half(asked).chunk(&asked.shown[asked.shown.len() / 2..]);
    hold(&[
        Case::image("whole", |asked| Answer::chunked(&[], &[&asked.shown])).comes(1),
        Case::image("a byte a chunk", |asked| {
            Answer::chunked(
                &[],
                &asked
                    .shown
                    .iter()
                    .map(std::slice::from_ref)
                    .collect::<Vec<_>>(),
            )
        })
        .comes(1),
        Case::image("trailers", move |asked| {
            all(asked).bytes("0\r\nX: y\r\nContent-Length: 3\r\n\r\n")
        })
        .comes(1),
        Case::image("an extension", |asked| {
            let size = format!("{:X};name=\"value\"\r\n", asked.shown.len());
            Answer::head("200 OK", &["Transfer-Encoding: chunked"])
                .bytes([size.as_bytes(), &asked.shown, b"\r\n0\r\n\r\n"].concat())
        })
        .comes(1),
        Case::image("FIN in the middle", move |asked| half(asked).close())
            .fails(3, &["broke off after"]),
        Case::image("RST in the middle", move |asked| half(asked).reset())
            .fails(3, &["broke off after"]),
        Case::image("FIN before the last", move |asked| all(asked).close())
            .fails(3, &["broke off after"]),
        Case::image("FIN in the last", move |asked| {
            all(asked).bytes("0\r\n").close()
        })
        .fails(3, &["broke off after"]),
        Case::image("a bad size", move |asked| {
            half(asked).bytes("zz\r\nxyz\r\n0\r\n\r\n")
        })
        .fails(3, &["broke off"]),
        Case::image("a size below nothing", move |asked| {
            half(asked).bytes("-5\r\nx\r\n")
        })
        .fails(3, &["broke off"]),
        Case::image("a size that overflows", move |asked| {
            half(asked).bytes("fffffffffffffffff\r\nx")
        })
        .fails(3, &["broke off"]),
        Case::image("a size without end", move |asked| half(asked).forever("0"))
            .with(&["--stall-timeout", "700ms"])
            .fails(3, &["timed out waiting"]),
        Case::image("an extension without end", move |asked| {
            half(asked).bytes("5;").forever("x")
        })
        .fails(3, &["broke off"]),
        Case::image("trailers without end", move |asked| {
            all(asked).bytes("0\r\n").forever("x: y\r\n")
        })
        .fails(3, &["broke off"]),
        Case::image("the last one first", |_| Answer::chunked(&[], &[])).fails(1, &["empty"]),
    ]);
}

/// An AVIF whose last box leaves it to the sender where it ends, sent like this.
fn avif_sent(name: &str, answer: impl Fn(&[u8]) -> Answer + Send + Sync + 'static) -> Case {
    let answer = Arc::new(answer);
    Case::new(name, move |rogue| {
        let answer = Arc::clone(&answer);
        let mut open = avif(32, 32);
        let last = open
            .windows(4)
            .rposition(|four| four == b"mdat")
            .expect("its pixels")
            - 4;
        open[last..last + 4].fill(0);
        rogue.show(FaultServer::FAULTY, open);
        rogue.on(FaultServer::FAULTY, move |asked| answer(&asked.shown));
    })
}

/// A JPEG XL without boxes, which does not say where it ends, sent like this.
fn bare_jxl_sent(name: &str, answer: impl Fn(&[u8]) -> Answer + Send + Sync + 'static) -> Case {
    let answer = Arc::new(answer);
    Case::new(name, move |rogue| {
        let answer = Arc::clone(&answer);
        rogue.show(
            FaultServer::FAULTY,
            include_bytes!("../../fixtures/jxl/bare.jxl").to_vec(),
        );
        rogue.on(FaultServer::FAULTY, move |asked| answer(&asked.shown));
    })
}

#[test]
fn body_without_content_length_ends_with_the_connection() {
    let head = || Answer::head("200 OK", &["Content-Type: image/png"]);
    hold(&[
        Case::image("whole", move |asked| {
            head().bytes(asked.shown.to_vec()).close()
        })
        .comes(1),
        Case::image("HTTP/1.0", |asked| {
            Answer::raw("HTTP/1.0 200 OK\r\n\r\n")
                .bytes(asked.shown.to_vec())
                .close()
        })
        .comes(1),
        Case::image("cut", move |asked| {
            head().bytes(&asked.shown[..asked.shown.len() - 3]).close()
        })
        .fails(2, &["cut"]),
        Case::image("cut by an RST", move |asked| {
            head().bytes(&asked.shown[..60]).reset()
        })
        .fails(3, &["broke off after 60"]),
        Case::image("nothing", move |_| head().close()).fails(1, &["empty"]),
        avif_sent("an AVIF", move |bytes| head().bytes(bytes).close())
            .fails(2, &["says how long it is"]),
        avif_sent("an AVIF in chunks", |bytes| Answer::chunked(&[], &[bytes])).comes(1),
        avif_sent("an AVIF with its length", |bytes| Answer::ok(bytes)).comes(1),
        bare_jxl_sent("a bare JPEG XL", move |bytes| head().bytes(bytes).close())
            .fails(2, &["says how long it is"]),
        bare_jxl_sent("a bare JPEG XL with its length", |bytes| Answer::ok(bytes)).comes(1),
    ]);
}

#[test]
fn endless_body_is_read_up_to_max_size() {
    let limit = ["--max-size", "300k"];
    let says = ["more than the 300000 bytes allowed"];
    let png = |asked: &Asked| Answer::head("200 OK", &[]).bytes(asked.shown.to_vec());
    let chunks =
        |asked: &Asked| Answer::head("200 OK", &["Transfer-Encoding: chunked"]).chunk(&asked.shown);
    hold(&[
        Case::image("no length", move |asked| png(asked).forever("more"))
            .fails(1, &says)
            .with(&limit),
        Case::image("chunks", move |asked| {
            chunks(asked).forever("4\r\nmore\r\n")
        })
        .fails(1, &says)
        .with(&limit),
        Case::page("a page", |asked| {
            Answer::head("200 OK", &[])
                .bytes(asked.shown.to_vec())
                .forever("<p>more")
        })
        .fails(1, &["more than the 300000 bytes allowed"])
        .with(&["--max-page-size", "300k"]),
    ]);
}

#[test]
fn malformed_http_response_is_not_printed_and_is_retried() {
    let noise: Vec<u8> = (0..4000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut cases = vec![
        Case::image("HTTP/0.9", |asked| {
            Answer::raw(asked.shown.to_vec()).close()
        }),
        Case::image("random bytes", move |_| Answer::raw(noise.clone()).close()),
        Case::image("a terminal's commands", |_| {
            Answer::raw("\x1b[31m\x1b]0;title\x07\r\n\r\n").close()
        }),
        Case::image("an SSH server", |_| {
            Answer::raw("SSH-2.0-OpenSSH_9.2\r\n").close()
        }),
        Case::image("an SMTP server", |_| {
            Answer::raw("220 mail.test ESMTP\r\n").hang()
        }),
        Case::image("a TLS alert", |_| {
            Answer::raw(b"\x15\x03\x01\x00\x02\x02\x46".as_slice()).close()
        }),
        Case::image("HTTP/2", |_| {
            Answer::raw(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0".as_slice())
                .close()
        }),
    ];
    for line in [
        "HTTP/1.1 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 1000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 -200 OK",
        "HTTP/7.3 200 OK",
        "ICY 200 OK",
    ] {
        cases.push(Case::image(line, move |asked| {
            Answer::raw(format!(
                "{line}\r\nContent-Length: {}\r\n\r\n",
                asked.shown.len()
            ))
            .bytes(asked.shown.to_vec())
        }));
    }
    cases.push(Case::image("a header with NUL", |asked| {
        Answer::whole("200 OK", &["X: a\0b"], asked.shown.to_vec())
    }));
    hold(
        &cases
            .into_iter()
            .map(|case| case.fails(3, &["127.0.0.1:", "invalid HTTP response", "(3 attempts)"]))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn endless_response_headers_are_not_buffered() {
    let many = (0..50_000).fold(String::new(), |mut all, n| {
        let _ = write!(all, "X-{n}: y\r\n");
        all
    });
    let head = || Answer::raw("HTTP/1.1 200 OK\r\n");
    let interim = |code: &'static str| Answer::raw("").forever(format!("HTTP/1.1 {code}\r\n\r\n"));
    hold(&[
        Case::image("a huge header", move |_| {
            head().bytes(format!("X: {}\r\n\r\n", "y".repeat(10_000_000)))
        })
        .fails(3, &["invalid HTTP response"]),
        Case::image("headers of more than 256 KB", |asked| {
            let long = format!("X: {}", "y".repeat(263_000));
            Answer::whole("200 OK", &[&long], asked.shown.to_vec())
        })
        .fails(3, &["invalid HTTP response", "more than 256 KB of headers"]),
        Case::image("a header of less than 256 KB", |asked| {
            let long = format!("X: {}", "y".repeat(260_000));
            Answer::whole("200 OK", &[&long], asked.shown.to_vec())
        })
        .comes(1),
        Case::image("20,000 headers", |asked| {
            Answer::whole("200 OK", &vec!["X: y"; 20_000], asked.shown.to_vec())
        })
        .comes(1),
        Case::image("200 cookies", |asked| {
            Answer::whole("200 OK", &["Set-Cookie: a=b"; 200], asked.shown.to_vec())
        })
        .comes(1),
        Case::new("20,000 headers of a page", |rogue| {
            rogue.on(PAGE, |asked| {
                Answer::whole("200 OK", &vec!["X: y"; 20_000], asked.shown.to_vec())
            });
        })
        .comes(1),
        Case::image("50,000 headers", move |_| {
            head().bytes(many.clone()).bytes("\r\n")
        })
        .fails(3, &["invalid HTTP response"]),
        Case::image("a header without end", move |_| {
            head().bytes("X: ").forever("y")
        })
        .fails(3, &["invalid HTTP response"]),
        Case::image("headers without end", move |_| head().forever("X: y\r\n"))
            .fails(3, &["invalid HTTP response"]),
        Case::image("a status line without end", |_| {
            Answer::raw("HTTP/1.1 200 ").forever("y")
        })
        .fails(3, &["invalid HTTP response"]),
        Case::image("100 without end", move |_| interim("100 Continue"))
            .fails(3, &["more than 256 KB of headers"]),
        Case::image("103 without end", move |_| interim("103 Early Hints"))
            .fails(3, &["more than 256 KB of headers"]),
        Case::page("a page's header without end", move |_| {
            head().bytes("X: ").forever("y")
        })
        .fails(3, &["invalid HTTP response"]),
        Case::image("100, then the image", |asked| {
            Answer::raw(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            )
            .and(asked.served())
        })
        .comes(1),
    ]);
}

#[test]
fn unexpected_status_code_is_requested_once() {
    let codes = [201, 202, 204, 205, 207, 299, 304, 305, 306, 600, 700, 999];
    let case = |code: u16| {
        let words: &'static str = Box::leak(code.to_string().into_boxed_str());
        let answer =
            move |asked: &Asked| Answer::whole(&format!("{code} Odd"), &[], asked.shown.to_vec());
        // A 204 and a 304 have no body: what follows is no answer to anything.
        let bare = move |_: &Asked| Answer::head(&format!("{code} Odd"), &[]);
        let case = if matches!(code, 204 | 304) {
            Case::image(words, bare)
        } else {
            Case::image(words, answer)
        };
        case.fails(1, &[words])
    };
    let mut cases: Vec<Case> = codes.into_iter().map(case).collect();
    let switch = |_: &Asked| {
        Answer::head(
            "101 Switching Protocols",
            &["Upgrade: x", "Connection: Upgrade"],
        )
        .hang()
    };
    cases.push(Case::image("101", switch).fails(1, &["101"]));
    hold(&cases);
}

#[test]
fn cookies_are_ignored() {
    let cookies = |cookies: Vec<String>| {
        Case::new(cookies[0].clone(), move |rogue| {
            let cookies = cookies.clone();
            rogue.everywhere(move |asked| {
                let headers: Vec<&str> = cookies.iter().map(String::as_str).collect();
                let status = if asked.shown.is_empty() {
                    "404 Not Found"
                } else {
                    "200 OK"
                };
                Answer::whole(status, &headers, asked.shown.to_vec())
            });
        })
        .comes(1)
        .seen(|requests| {
            assert!(
                requests
                    .iter()
                    .all(|asked| asked.header("cookie").is_none())
            );
        })
    };
    hold(&[
        cookies(
            (0..90)
                .map(|n| format!("Set-Cookie: c{n}=v{n}; Path=/; Max-Age=99999"))
                .collect(),
        ),
        cookies(vec![
            "Set-Cookie: =; ;;; = ;\u{e9}=\u{1f}\t".replace('\u{1f}', ""),
            "Set-Cookie:".to_owned(),
        ]),
        cookies(vec![format!("Set-Cookie: a={}", "b".repeat(20_000))]),
    ]);
}
