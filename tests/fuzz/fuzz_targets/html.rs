#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wallhaul_fuzz::html(data));
