//! A seeded generator of random numbers: the same seed gives the same numbers.

/// A generator of numbers; no two with different names fall alike.
pub(crate) struct Rng(u64);

impl Rng {
    /// Dice for `what`, the one called `name`.
    pub(crate) fn new(what: &str, name: &str) -> Self {
        let hash = blake3::hash(format!("{what}/{name}").as_bytes());
        let (seed, _rest) = hash
            .as_bytes()
            .split_first_chunk()
            .expect("a hash has more than eight bytes");
        Self(u64::from_le_bytes(*seed))
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    /// A number from zero up to `end`, that one excluded; zero where there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from(self.number() % end).expect("it is below a usize")
    }

    /// One of `all`.
    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}
