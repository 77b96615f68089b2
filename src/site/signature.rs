//! Addresses that are signed or tracked: which of their parameters say nothing about what is there.

use url::Url;

/// Parameters that belong together: none is left out unless all of `signs` are there, since many a site calls
/// something else `signature` or `expires`.
struct Signature {
    /// The parameters that only a signed address of this kind has.
    signs: &'static [&'static str],
    /// The others of its kind.
    beside: &'static [&'static str],
}

/// The signed addresses that are known, by their makers' documentation. Names are compared in any letter case: Laravel
/// writes `expires` and `signature`, Amazon `Expires` and `Signature`.
const SIGNATURES: [Signature; 7] = [
    // AWS Signature Version 4 in the query: "Authenticating Requests: Using Query Parameters".
    Signature {
        signs: &["x-amz-signature", "x-amz-credential"],
        beside: &[
            "x-amz-algorithm",
            "x-amz-date",
            "x-amz-expires",
            "x-amz-security-token",
            "x-amz-signedheaders",
        ],
    },
    // Google Cloud Storage, V4 signing process: "Signed URLs".
    Signature {
        signs: &["x-goog-signature", "x-goog-credential"],
        beside: &[
            "x-goog-algorithm",
            "x-goog-date",
            "x-goog-expires",
            "x-goog-signedheaders",
        ],
    },
    // CloudFront with a custom policy: "Use signed URLs".
    Signature {
        signs: &["policy", "signature", "key-pair-id"],
        beside: &[],
    },
    // CloudFront with a canned policy, AWS Signature Version 2, Google Cloud Storage's V2 signing process, Cloud CDN,
    // Laravel's temporary signed routes: an expiry date, a signature, and the name of whose key signed.
    Signature {
        signs: &["expires", "signature"],
        beside: &["key-pair-id", "awsaccesskeyid", "googleaccessid", "keyname"],
    },
    // Azure Storage, service and account SAS: the token's fields in "Create a service SAS" and "Create an account SAS".
    Signature {
        signs: &["sig", "sv", "se"],
        beside: &["sp", "st", "sr", "spr", "sip", "ss", "srt"],
    },
    // Azure Storage, service SAS with a stored access policy, which holds the expiry date.
    Signature {
        signs: &["sig", "sv", "si"],
        beside: &["sr", "spr", "sip"],
    },
    // Discord's attachments: "Signed Attachment CDN URLs" of its API's reference.
    Signature {
        signs: &["ex", "is", "hm"],
        beside: &[],
    },
];

/// `address` without its signature and without what only tells where a visitor came from: two addresses with the same
/// rest are the same image. What stays, stays to the byte.
///
/// A lone `token` is a signature only where it is a JSON Web Token (RFC 7519) and the path names an image already: to
/// take two images for one loses the second, and costs more than fetching one twice.
pub(super) fn without_signature(address: &Url) -> Url {
    let mut rest = address.clone();
    let Some(query) = address.query() else {
        return rest;
    };
    let parameters: Vec<(String, &str)> = query
        .split('&')
        .map(|parameter| {
            let name = parameter.split('=').next().unwrap_or_default();
            (name.to_ascii_lowercase(), parameter)
        })
        .collect();
    let has = |wanted: &&str| parameters.iter().any(|(name, _)| name == wanted);
    let signatures: Vec<&Signature> = SIGNATURES
        .iter()
        .filter(|signature| signature.signs.iter().all(has))
        .collect();
    let has_image_path = super::classify::has_image_extension(address);
    let says_nothing = |name: &str, parameter: &str| {
        let is_signature = signatures
            .iter()
            .any(|signature| signature.signs.contains(&name) || signature.beside.contains(&name));
        // Google Analytics' campaign parameters, and imgix's mark of who asks.
        let is_tracking = name.starts_with("utm_") || name == "ixid";
        let is_token = name == "token" && has_image_path && is_web_token(parameter);
        is_signature || is_tracking || is_token
    };
    let kept: Vec<&str> = parameters
        .iter()
        .filter(|(name, parameter)| !says_nothing(name, parameter))
        .map(|(_, parameter)| *parameter)
        .collect();
    if kept.len() < parameters.len() {
        let query = kept.join("&");
        rest.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    }
    rest
}

/// Whether the parameter's value is a JSON Web Token: three parts of which the first is an object in base64.
fn is_web_token(parameter: &str) -> bool {
    let value = parameter.split_once('=').map_or("", |(_, value)| value);
    value.starts_with("eyJ") && value.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(address: &str) -> String {
        without_signature(&Url::parse(address).unwrap()).into()
    }

    #[test]
    fn a_signed_url_is_known_by_what_its_signature_leaves() {
        for signed in [
            "https://b.invalid/a.png?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20260101&X-Amz-Date=1\
             &X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t&X-Amz-Signature=00ff",
            "https://b.invalid/a.png?x-goog-signature=1&x-goog-credential=me&x-goog-date=2&x-goog-expires=9",
            "https://b.invalid/a.png?Policy=p&Signature=s&Key-Pair-Id=k",
            "https://b.invalid/a.png?Expires=1&Signature=s&Key-Pair-Id=k",
            "https://b.invalid/a.png?AWSAccessKeyId=k&Expires=1&Signature=s",
            "https://b.invalid/a.png?GoogleAccessId=k&Expires=1&Signature=s",
            "https://b.invalid/a.png?Expires=1&KeyName=k&Signature=s",
            "https://b.invalid/a.png?expires=1&signature=s",
            "https://b.invalid/a.png?sp=r&st=1&se=2&spr=https&sv=2022-11-02&sr=b&sig=s%3D",
            "https://b.invalid/a.png?sv=2022-11-02&si=policy&sr=b&sig=s%3D",
            "https://b.invalid/a.png?ex=66&is=65&hm=0f&",
            "https://b.invalid/a.png?token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "https://b.invalid/a.png?utm_source=x&utm_medium=y&ixid=Mnw",
        ] {
            let rest = stripped(signed);
            assert_eq!(
                rest.trim_end_matches('?'),
                "https://b.invalid/a.png",
                "{signed}"
            );
        }
    }

    #[test]
    fn a_parameter_that_is_no_part_of_a_known_signature_stays_to_the_byte() {
        for address in [
            "https://b.invalid/a.png",
            "https://b.invalid/a.png?",
            "https://b.invalid/view?signature=mona-lisa",
            "https://b.invalid/view?expires=never&id=1",
            "https://b.invalid/view?sp=1&sv=2&sr=3",
            "https://b.invalid/view?token=abc",
            "https://b.invalid/download?token=eyJhbGciOiJIUzI1NiJ9.eyJpbWFnZSI6MX0.c2ln",
            "https://b.invalid/view?is=1&ex=2",
            "https://b.invalid/view?policy=p&key-pair-id=k",
        ] {
            assert_eq!(stripped(address), address);
        }
        assert_eq!(
            stripped("https://b.invalid/view?id=a%20b+c&Expires=1&w=1920&Signature=s&&q"),
            "https://b.invalid/view?id=a%20b+c&w=1920&&q"
        );
    }
}
