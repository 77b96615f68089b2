//! The colours that go together.

use super::palette::Rgb;

/// The colours of one scene.
pub(super) struct Tones {
    /// The sky overhead.
    pub zenith: Rgb,
    /// The sky where it meets the land.
    pub haze: Rgb,
    /// Sun, moon, sails, foam.
    pub light: Rgb,
    /// Land at its furthest.
    pub far: Rgb,
    /// Land at its nearest.
    pub near: Rgb,
    /// The one thing that stands out.
    pub accent: Rgb,
}

impl Tones {
    const fn new([zenith, haze, light, far, near, accent]: [u32; 6]) -> Self {
        Self {
            zenith: Rgb::hex(zenith),
            haze: Rgb::hex(haze),
            light: Rgb::hex(light),
            far: Rgb::hex(far),
            near: Rgb::hex(near),
            accent: Rgb::hex(accent),
        }
    }

    /// The colour of land `share` of the way from far to near.
    pub(super) fn land(&self, share: f32) -> Rgb {
        self.far.mix(self.near, share)
    }
}

/// Sunrise and sunset.
pub(super) const DUSK: [Tones; 7] = [
    Tones::new([
        0x002b_2d5b,
        0x00ff_9e6d,
        0x00ff_e9c4,
        0x00c4_6a72,
        0x001f_1b3a,
        0x00ff_5e5b,
    ]),
    Tones::new([
        0x005b_4b8a,
        0x00f7_c5b5,
        0x00ff_f4e4,
        0x00c9_8fab,
        0x0033_2a57,
        0x00f2_6b7a,
    ]),
    Tones::new([
        0x00f0_8a6b,
        0x00fd_e2b8,
        0x00ff_fbf2,
        0x00e3_9472,
        0x0052_2c48,
        0x00c9_3f4b,
    ]),
    Tones::new([
        0x0010_4a5c,
        0x00f2_d9a8,
        0x00ff_f6e0,
        0x0062_9c9a,
        0x000b_2b36,
        0x00f2_8f5c,
    ]),
    Tones::new([
        0x0034_1c52,
        0x00e8_6b82,
        0x00ff_d3a6,
        0x008e_3f74,
        0x001a_1030,
        0x00ff_c15e,
    ]),
    Tones::new([
        0x0027_4c77,
        0x00f6_bd8f,
        0x00ff_efd6,
        0x006f_82a3,
        0x0016_2a45,
        0x00ee_6c4d,
    ]),
    Tones::new([
        0x006d_597a,
        0x00ee_a98a,
        0x00ff_ead0,
        0x00b5_6576,
        0x0035_3047,
        0x00e5_6b6f,
    ]),
];

/// Full daylight.
pub(super) const DAY: [Tones; 7] = [
    Tones::new([
        0x009f_bcc9,
        0x00f3_f0e6,
        0x00ff_ffff,
        0x00b4_c6cb,
        0x0034_5763,
        0x00e0_7a5f,
    ]),
    Tones::new([
        0x00bf_dcc0,
        0x00f6_f4d8,
        0x00ff_fce6,
        0x009f_c79f,
        0x001f_4d40,
        0x00e7_6f51,
    ]),
    Tones::new([
        0x0062_a8b8,
        0x00fb_e6c2,
        0x00ff_f6dc,
        0x00ea_b277,
        0x0096_4530,
        0x00d6_4933,
    ]),
    Tones::new([
        0x004a_9fd8,
        0x00da_f2f5,
        0x00ff_fbe6,
        0x0092_c9b4,
        0x0027_6655,
        0x00f4_5b69,
    ]),
    Tones::new([
        0x006f_c0b4,
        0x00f4_f5dc,
        0x00ff_ffef,
        0x0098_cdb5,
        0x002a_5d63,
        0x00f2_a65a,
    ]),
    Tones::new([
        0x00f2_c6b4,
        0x00fd_f1e1,
        0x00ff_ffff,
        0x00e6_b8a2,
        0x008a_5a68,
        0x003d_7c8a,
    ]),
    Tones::new([
        0x008f_a7d6,
        0x00ec_e6f4,
        0x00ff_ffff,
        0x00b3_b4d9,
        0x003f_4678,
        0x00f2_b05e,
    ]),
];

/// After dark.
pub(super) const NIGHT: [Tones; 5] = [
    Tones::new([
        0x000a_1128,
        0x0029_476b,
        0x00f4_f1de,
        0x001d_3350,
        0x0006_0a18,
        0x0056_e0a4,
    ]),
    Tones::new([
        0x0013_0d2e,
        0x004b_3486,
        0x00fd_f0d5,
        0x0032_2166,
        0x000c_0720,
        0x0084_f0de,
    ]),
    Tones::new([
        0x0004_1720,
        0x0020_6274,
        0x00f2_f6e9,
        0x0011_4250,
        0x0003_1016,
        0x008f_f0a4,
    ]),
    Tones::new([
        0x0016_1a33,
        0x0062_4b6e,
        0x00ff_e8cf,
        0x003a_3152,
        0x000d_0f20,
        0x00f0_9ab5,
    ]),
    Tones::new([
        0x000d_1b2a,
        0x003f_5e73,
        0x00f7_f3e3,
        0x0023_3d4d,
        0x0008_111c,
        0x00fe_c868,
    ]),
];
