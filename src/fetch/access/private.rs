//! Which addresses are private: those of this machine, its link or its network, and those that
//! belong to nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` is private, in any notation: an IPv4 address may be embedded in an IPv6 one.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match a {
        0 | 10 | 127 | 224.. => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && c == 0),
        198 => b == 18 || b == 19,
        _ => false,
    }
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // IPv4 in IPv6: compatible (`::` and `::1` among them) or mapped, behind a NAT64, and by
        // 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        // A NAT64 of the local network's own.
        [0x64, 0xff9b, 1, ..] => true,
        // Unique local, link-local, the old site-local, multicast.
        [first, ..] => {
            first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80 || first & 0xff00 == 0xff00
        }
    }
}

fn embedded(high: u16, low: u16) -> bool {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    is_private_v4(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_address_is_recognised_in_every_notation() {
        let private = "127.0.0.1 0.0.0.0 10.0.0.1 100.64.0.1 169.254.169.254 172.31.0.1 192.168.1.1 198.18.0.1 224.0.0.1 \
            255.255.255.255 :: ::1 fe80::1 fc00::1 fd12::1 fec0::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::7f00:1 \
            64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::";
        for address in private.split_whitespace() {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
        let public = "1.1.1.1 100.128.0.1 172.32.0.1 192.167.0.1 2606:4700::1111 64:ff9b::101:101 2002:101:101:: ::ffff:8.8.8.8";
        for address in public.split_whitespace() {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
    }
}
