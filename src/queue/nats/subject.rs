//! The names that the queue has on the broker: streams, subjects, consumers, messages.

use std::fmt;

use crate::job::ImageKey;

/// Jobs that no worker has finished.
pub(super) const JOBS: &str = "JOBS";
/// How jobs ended, until the run that queued them has recorded it.
pub(super) const RESULTS: &str = "RESULTS";
/// What the broker says of jobs that were delivered too often.
pub(super) const ADVISORY: &str = "ADVISORY";
/// Jobs that were given up.
pub(super) const DEAD: &str = "DEAD";

/// Whose results those are that name no collection: every run reads them.
pub(super) const NOBODY: &str = "_lost";

/// The consumer of the advisories, which all runs share.
pub(super) const EXHAUSTED: &str = "exhausted";

/// Where the broker says that a host has jobs that had none.
pub(super) const NEW_HOSTS: &str = "$JS.EVENT.ADVISORY.CONSUMER.CREATED.JOBS.*";

/// The longest token that is written out.
const MAX_TOKEN: usize = 200;

const HEX_DIGITS: usize = 32;

pub(super) fn job(host: &HostToken) -> String {
    format!("wallhaul.job.{host}")
}

/// The host of a job, from the subject of its message.
pub(super) fn host_of_job(subject: &str) -> Option<HostToken> {
    subject
        .strip_prefix("wallhaul.job.")
        .map(HostToken::from_name)
}

pub(super) fn result(collection: &str) -> String {
    format!("wallhaul.result.{collection}")
}

pub(super) fn dead(host: &HostToken) -> String {
    format!("wallhaul.dead.{host}")
}

/// Whether a text may name a collection.
pub(super) fn is_collection(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// A host in a subject and as a consumer's name: lower case, and every byte but `a-z`, `0-9` and `-` as `=XX`. Not `%XX`:
/// server 2.14.0 takes the subject of acknowledgements for a format, so that it does not hear those of such a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct HostToken(String);

impl HostToken {
    pub(super) fn new(host: &str) -> Self {
        let mut token = String::with_capacity(host.len() + 8);
        for byte in host.bytes().map(|byte| byte.to_ascii_lowercase()) {
            if byte.is_ascii_alphanumeric() || byte == b'-' {
                token.push(char::from(byte));
            } else {
                token.push_str(&format!("={byte:02X}"));
            }
        }
        if token.len() > MAX_TOKEN {
            let hash = blake3::hash(token.as_bytes()).to_hex();
            return Self(hash[..HEX_DIGITS].to_owned());
        }
        Self(token)
    }

    /// A consumer's name, which was made from one.
    pub(super) fn from_name(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, or the hash that stands for a long one.
    pub(super) fn host(&self) -> String {
        percent_encoding::percent_decode_str(&self.0.replace('=', "%"))
            .decode_utf8_lossy()
            .into_owned()
    }
}

impl fmt::Display for HostToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image's key as the name of its message: half of its hash, because keys come from sites and names from headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyHash(u128);

impl KeyHash {
    pub(super) fn of(key: &ImageKey) -> Self {
        let hash = blake3::hash(key.as_str().as_bytes());
        let (half, _) = hash
            .as_bytes()
            .split_first_chunk()
            .expect("a hash has 32 bytes");
        Self(u128::from_be_bytes(*half))
    }

    /// From a message's name, whichever of the key's it is.
    pub(super) fn from_id(id: &str) -> Option<Self> {
        let digits = id.split('#').next()?;
        u128::from_str_radix(digits, 16).ok().map(Self)
    }

    /// The name of the key's message when it is queued for the `number`th time on purpose.
    pub(super) fn again(self, number: impl fmt::Display) -> String {
        format!("{self}#{number}")
    }
}

/// The name of a job's result: the same however often a worker sends that of one delivery.
pub(super) fn result_id(key: KeyHash, job: u64, delivery: u32) -> String {
    key.again(format_args!("{job}.{delivery}"))
}

/// The number of the job's message, from the name of its result.
pub(super) fn job_of_result(id: &str) -> Option<u64> {
    let (_key, number) = id.split_once('#')?;
    number.split_once('.')?.0.parse().ok()
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What the subject says by which a delivered message is acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery<'s> {
    pub(super) consumer: &'s str,
    /// How often it was delivered, this time included.
    pub(super) attempt: u32,
    /// The message's number in its stream.
    pub(super) sequence: u64,
}

impl<'s> Delivery<'s> {
    /// Reads `$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.CONSUMER-SEQUENCE.TIME.PENDING`, or the longer form, with
    /// `DOMAIN.ACCOUNT` before the stream and more at the end (NATS ADR-15).
    pub(super) fn parse(reply: &'s str) -> Option<Self> {
        let tokens = reply.strip_prefix("$JS.ACK.")?;
        let skipped = if tokens.split('.').count() == 7 { 1 } else { 3 };
        let mut tokens = tokens.split('.').skip(skipped);
        Some(Self {
            consumer: tokens.next()?,
            attempt: tokens.next()?.parse().ok()?,
            sequence: tokens.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_differ_have_tokens_that_differ_and_lead_back() {
        for (host, token) in [
            ("a.example", "a=2Eexample"),
            ("A_b.c:8080", "a=5Fb=2Ec=3A8080"),
            ("[::1]:80", "=5B=3A=3A1=5D=3A80"),
            ("x*>=%y", "x=2A=3E=3D=25y"),
        ] {
            assert_eq!(HostToken::new(host).as_str(), token);
            assert_eq!(HostToken::new(host).host(), host.to_ascii_lowercase());
        }
        let long = HostToken::new(&"a.".repeat(120));
        assert_eq!(long.as_str().len(), HEX_DIGITS);
    }

    #[test]
    fn a_message_name_leads_back_to_its_key() {
        let key = ImageKey::from_stored("demo https://demo.invalid/a.png".to_owned());
        let hash = KeyHash::of(&key);
        assert_eq!(KeyHash::from_id(&hash.to_string()), Some(hash));
        assert_eq!(KeyHash::from_id(&hash.again(7)), Some(hash));
        assert_eq!(KeyHash::from_id("strange"), None);
        assert_eq!(job_of_result(&result_id(hash, 41, 2)), Some(41));
        assert_eq!(job_of_result("buried#41"), None);
    }

    #[test]
    fn both_forms_of_an_acknowledgement_subject_are_read() {
        let due = Delivery {
            consumer: "a=2Eb",
            attempt: 3,
            sequence: 41,
        };
        for reply in [
            "$JS.ACK.JOBS.a=2Eb.3.41.9.1700000000000000000.5",
            "$JS.ACK._.hash.JOBS.a=2Eb.3.41.9.1700000000000000000.5.token",
        ] {
            assert_eq!(Delivery::parse(reply).as_ref(), Some(&due), "{reply}");
        }
        assert_eq!(Delivery::parse("_INBOX_w.x.1"), None);
    }

    #[test]
    fn a_collection_is_a_short_word_of_letters_and_digits() {
        assert!(is_collection("a1"));
        for bad in ["", "A", "a.b", "_lost", &"a".repeat(33)] {
            assert!(!is_collection(bad), "{bad}");
        }
    }
}
